"""Required Capabilities (guide: Design Goals): each tool is installed, has the right version, and works."""

from __future__ import annotations

import re

from hornet.checks.check import Subject, check
from hornet.spec.model import Spec
from hornet.spec.tiers import Tool
from hornet.vm.probes import Probe, ProbeResults

# Enough for the slowest tool on an emulated, shared processor.
TIMEOUT_S = 115


def tool_probes(name: str, tool: Tool) -> list[Probe]:
    """Probes for the commands' presence, their version, and a real use."""
    where = "; ".join(f"command -v {command} || echo missing {command}" for command in tool.needs)
    version = Probe(f"tool.{name}.version", tool.version_command, TIMEOUT_S)
    use = [Probe(f"tool.{name}.use", tool.use, TIMEOUT_S)] if tool.use else []
    return [Probe(f"tool.{name}.where", where), version, *use]


def _each_tool(spec: Spec) -> dict[str, tuple[str, Tool]]:
    return {name: (name, tool) for name, tool in spec.tools.items()}


@check("tool.{}.presence", Subject.GUEST, each=_each_tool)
def presence_problems(name: str, tool: Tool, facts: ProbeResults) -> list[str]:
    """Commands of the tool that are not in the guest's PATH."""
    missing = re.findall(r"^missing (\S+)$", facts[f"tool.{name}.where"].output, re.MULTILINE)
    return [f"{tool.title} ({tool.purpose}): no {command!r} in the guest's PATH" for command in missing]


@check("tool.{}.version", Subject.GUEST, each=_each_tool)
def version_problems(name: str, tool: Tool, facts: ProbeResults) -> list[str]:
    """A version command that fails, or whose output does not match the spec's pattern."""
    answer = facts[f"tool.{name}.version"]
    if not answer.ok:
        return [f"{tool.title}: `{tool.version_command}` failed: {answer}"]
    if not tool.accepts(answer.output):
        first = answer.output.strip().splitlines()[:1]
        return [f"{tool.title}: version {first}, expected to match {tool.version_pattern!r}"]
    return []


@check("tool.{}.use", Subject.GUEST, each=_each_tool)
def use_problems(name: str, tool: Tool, facts: ProbeResults) -> list[str]:
    """A real use of the tool that failed."""
    answer = facts[f"tool.{name}.use" if tool.use else f"tool.{name}.version"]
    return [] if answer.ok else [f"{tool.title}: real use failed: {answer}"]
