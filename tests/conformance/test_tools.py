"""Required Capabilities: every tool is there, of the right version, and does real work in a restored guest."""

from __future__ import annotations

import pytest

from hornet.checks import tools
from hornet.facts import Facts
from hornet.spec import Spec
from hornet_fixtures.judging import holds

# Each case carries the mark of its tool, as in guide("tool-git"): see hornet_fixtures/guide.py.
pytestmark = pytest.mark.conformance


def test_it_is_there(tool_name: str, spec: Spec, tool_facts: Facts) -> None:
    holds(tools.presence_problems(tool_name, spec.tools[tool_name], tool_facts))


def test_it_has_the_right_version(tool_name: str, spec: Spec, tool_facts: Facts) -> None:
    holds(tools.version_problems(tool_name, spec.tools[tool_name], tool_facts))


def test_it_does_real_work(tool_name: str, spec: Spec, tool_facts: Facts) -> None:
    holds(tools.use_problems(tool_name, spec.tools[tool_name], tool_facts))
