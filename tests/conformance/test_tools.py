"""Required Capabilities: every tool is there, of the right version, and does real work in a restored guest."""

from __future__ import annotations

import pytest

from hornet.checks import tools
from hornet.spec.model import Spec
from hornet.vm.probes import Facts
from hornet_fixtures.assertions import holds

# Each case carries the mark of its tool, as in guide("tool-git"): see hornet_fixtures/requirement_markers.py.
pytestmark = pytest.mark.conformance


def test_it_is_there(tool_name: str, spec: Spec, tool_facts: Facts) -> None:
    holds(tools.presence_problems(tool_name, spec.tools[tool_name], tool_facts))


def test_it_has_the_right_version(tool_name: str, spec: Spec, tool_facts: Facts) -> None:
    holds(tools.version_problems(tool_name, spec.tools[tool_name], tool_facts))


def test_it_does_real_work(tool_name: str, spec: Spec, tool_facts: Facts) -> None:
    holds(tools.use_problems(tool_name, spec.tools[tool_name], tool_facts))
