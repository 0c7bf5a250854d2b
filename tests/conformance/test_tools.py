"""Required Capabilities: every tool is present in the right version and does real work in a restored guest."""

from __future__ import annotations

import pytest

from hornet.checks import tools
from hornet.spec.model import Spec
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems

# Each case carries the mark of its tool, as in requirement("tool-git"): see hornet_fixtures/requirement_markers.py.
pytestmark = pytest.mark.conformance


def test_tool_is_present(tool_name: str, spec: Spec, tool_facts: ProbeResults) -> None:
    assert_no_problems(tools.presence_problems(tool_name, spec.tools[tool_name], tool_facts))


def test_tool_has_the_right_version(tool_name: str, spec: Spec, tool_facts: ProbeResults) -> None:
    assert_no_problems(tools.version_problems(tool_name, spec.tools[tool_name], tool_facts))


def test_tool_does_real_work(tool_name: str, spec: Spec, tool_facts: ProbeResults) -> None:
    assert_no_problems(tools.use_problems(tool_name, spec.tools[tool_name], tool_facts))
