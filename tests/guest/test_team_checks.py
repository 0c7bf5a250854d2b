"""An overlay's own tools, files and flags are judged on the built image: good ones hold, bad ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.checks import guest_kernel, tools
from hornet.checks.catalog import guest_checks
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.procedures.judge_image import judge_image
from hornet.scenarios.probe_sets import collect_facts
from hornet.spec.model import Spec, load_spec
from hornet.vm.fleet import VM
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.guest

EXAMPLE = SOURCE / "docs" / "team-repository" / "overlay.toml"
BROKEN = """
[tools.sed]
needs = ["sed", "no-such-command"]
version_pattern = "sed 99"
use = "echo one | sed s/one/two/ | grep three"

[files.os_release]
owner = "7:7"
contains = "^ID=windows$"

[files.no_compiler_cache]
path = "/etc/os-release"

[kernel.required]
team = ["BTRFS_FS"]

[kernel.removed]
team = ["MMU"]
"""


def problems(spec: Spec, vm: VM, image: Image, workspace: Workspace) -> dict[str, list[str]]:
    """What the checks find of the team's own rules."""
    sed = spec.tools["sed"]
    facts = collect_facts(vm, spec, [*tools.tool_probes("sed", sed), *guest_kernel.kernel_probes()])
    found = {name: check(facts) for name, check in guest_checks(spec).items() if name.startswith("tool.sed.")}
    in_image = judge_image(image.path, spec, (), workspace.run)
    found |= {name: in_image[f"file.{name}"] for name in ("os_release", "no_compiler_cache")}
    return {**found, "flags": guest_kernel.running_config_problems(spec.kernel, facts)}


def test_example_overlay_holds_on_the_built_image(restored_vm: VM, image: Image, workspace: Workspace) -> None:
    found = problems(load_spec(overlays=[EXAMPLE]), restored_vm, image, workspace)
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_each_rule_of_a_team_can_fail(restored_vm: VM, image: Image, workspace: Workspace, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text(BROKEN)
    found = problems(load_spec(overlays=[EXAMPLE, broken]), restored_vm, image, workspace)
    assert {name: len(lines) for name, lines in found.items()} == {
        "tool.sed.presence": 1,
        "tool.sed.version": 1,
        "tool.sed.use": 1,
        "os_release": 2,
        "no_compiler_cache": 1,
        "flags": 2,
    }
    assert {line.split(":")[0] for line in found["flags"]} == {"CONFIG_BTRFS_FS", "CONFIG_MMU"}
