"""`net check` judges ufw, firewalld and Docker's rules as a guest's packets do, and what it advises lets them through.

The programs themselves write the rules here; tests/cases/network has rules that they once wrote elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet_fixtures.network.lab import Lab, private_lab
from tests.selftest.test_cases_network import guest_is_answered
from tests.support.network_samples import NETWORK, hornetos_net, prefix
from tests.support.real_firewalls import RealFirewall, real_firewall

__all__ = ["prefix"]

UFW_DROPS = r"table ip filter, chain FORWARD \(priority 0\): policy drop"


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    with private_lab(NETWORK, prefix) as made:
        yield made


# By case: program, what its owner changes after it was enabled, what is said of the chain, and the advice.
DROPPING = {
    "ufw": ("ufw", "true", UFW_DROPS, "iptables -I FORWARD"),
    "ufw that rejects": (
        "ufw",
        "ufw default reject routed",
        r"chain FORWARD \(priority 0\): reject",
        "iptables -I FORWARD",
    ),
    "firewalld, another zone": (
        "firewall-cmd",
        "firewall-cmd --set-default-zone=block",
        r"table inet firewalld, chain \w+ .*(reject|drop)",
        "firewall-cmd --zone=trusted",
    ),
    "docker": ("iptables", "true", r"chain FORWARD \(priority 0\): policy drop", "iptables -I DOCKER-USER"),
}
PASSING = {
    "ufw that routes": ("ufw", "ufw default allow routed"),
    "ufw with a rule for guests": ("ufw", "ufw route allow in on veth-vm+"),
    "firewalld that trusts guests": ("firewall-cmd", "firewall-cmd --zone=trusted --add-interface=veth-vm+"),
    "docker with a rule for guests": (
        "iptables",
        "iptables -I DOCKER-USER -i veth-vm+ -j ACCEPT; iptables -I DOCKER-USER "
        "-o veth-vm+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ),
}


@pytest.mark.requirement("trouble-nat")
@pytest.mark.parametrize(("program", "change", "says", "advice"), DROPPING.values(), ids=DROPPING)
def test_real_firewall_that_drops_is_named_and_mended(
    program: str, change: str, says: str, advice: str, lab: Lab, prefix: str, tmp_path: Path
) -> None:
    assert guest_is_answered(lab)
    with real_firewall(program, f"{prefix}host", tmp_path) as firewall:
        firewall.run(change)
        assert not guest_is_answered(lab), "the sample itself"
        code, output = hornetos_net(prefix, "check")
        assert code == 1, output
        assert re.search(says, output), output
        assert_advice_helps(advice, output, firewall)
        assert hornetos_net(prefix, "check")[0] == 0
        assert guest_is_answered(lab)


def assert_advice_helps(advice: str, output: str, firewall: RealFirewall) -> None:
    commands = re.findall(r"to let guests through: (.*)", output)
    assert any(command.startswith(advice) for command in commands), output
    for command in commands:
        firewall.run(command)


@pytest.mark.parametrize(("program", "change"), PASSING.values(), ids=PASSING)
def test_real_firewall_that_lets_guests_through_is_not_blamed(
    program: str, change: str, lab: Lab, prefix: str, tmp_path: Path
) -> None:
    with real_firewall(program, f"{prefix}host", tmp_path) as firewall:
        firewall.run(change)
        code, output = hornetos_net(prefix, "check")
        assert guest_is_answered(lab), "the sample itself"
        assert code == 0, output
