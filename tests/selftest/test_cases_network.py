"""Other programs' firewalls that were once judged wrongly: tests/cases/network. A guest's packets decide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet_fixtures.network.lab import SITE_NAME, Lab, ask_site, look_up, private_lab
from tests.support.cases import each_case, opened
from tests.support.network_samples import NETWORK, hornetos_net, in_namespace, prefix

__all__ = ["prefix"]

# A packet that is dropped is never answered; one that passes is answered in milliseconds.
DROPPED_AFTER_S = 1.0


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    with private_lab(NETWORK, prefix) as made:
        yield made


@pytest.mark.requirement("trouble-nat")
@each_case("network")
def test_firewall_case_comes_out_right(file: Path, lab: Lab, prefix: str) -> None:
    with opened(file) as case:
        assert guest_is_answered(lab)
        in_namespace(f"{prefix}host", f"{case.pop('loaded_by')} <<'END'\n{case.pop('rules')}\nEND")
        passes = {"passes": True, "dropped": False}[case.pop("verdict")]
        assert guest_is_answered(lab) == passes, "the case itself"
        code, output = hornetos_net(prefix, "check")
        assert code == (0 if passes else 1), output
        assert re.search(case.pop("says"), output), output
        if not passes:
            assert_mended_as_said(case.pop("mend"), case.pop("mend_does", None), lab, prefix)


def guest_is_answered(lab: Lab) -> bool:
    """Whether the site and the name server answer guest A."""
    try:
        lab.a.run(lambda: ask_site(timeout_s=DROPPED_AFTER_S))
        lab.a.run(lambda: look_up(SITE_NAME, str(NETWORK.dns[0]), DROPPED_AFTER_S))
    except OSError:
        return False
    return True


def assert_mended_as_said(mend: str, mend_does: str | None, lab: Lab, prefix: str) -> None:
    """`net up` names the commands, and they let guests through. mend_does: for a program that is not installed."""
    code, output = hornetos_net(prefix, "up")
    commands = re.findall(r"to let guests through: (.*)", output)
    assert code == 0
    assert any(re.search(mend, command) for command in commands), output
    for command in [mend_does] if mend_does else commands:
        in_namespace(f"{prefix}host", command)
    assert hornetos_net(prefix, "check")[0] == 0
    assert guest_is_answered(lab)
