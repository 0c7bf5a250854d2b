"""When a guest counts as alive: by any of the signs that the specification names, in real namespaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from hornet.errors import GuestError
from hornet.procedures.diagnose import State, walk
from hornet.spec.model import load_spec
from hornet.spec.snapshots import Sign, SnapshotFiles
from hornet.vm.guest import SSH_PORT, Guest, SshKey
from hornet_fixtures.network.attacks import tcp_server
from hornet_fixtures.network.lab import Lab, private_lab
from tests.selftest.test_diagnose import HEALTHY, PLACE
from tests.support.network_samples import NETWORK, in_namespace, prefix

__all__ = ["prefix"]

KEY = SshKey(Path("no-key"), "A" * 60)
ADDRESS = str(NETWORK.guest_address.ip)
IGNORE_PINGS = "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all"


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    with private_lab(NETWORK, prefix) as made:
        in_namespace(made.a.name, IGNORE_PINGS)
        yield made


def test_guest_that_ignores_pings_is_alive_by_its_ssh_port(lab: Lab) -> None:
    with tcp_server(lab.a.run, ADDRESS, "SSH-2.0-x\r\n", SSH_PORT):
        Guest(lab.a.vm, ADDRESS, KEY).await_reply(5)


def test_guest_that_answers_nothing_is_not_alive(lab: Lab) -> None:
    with pytest.raises(GuestError, match="waiting for the reply to a ping or a port") as caught:
        Guest(lab.a.vm, ADDRESS, KEY).await_reply(1.5)
    assert "snapshot.ready_by" in caught.value.hint


@pytest.mark.parametrize("signs", [["ping"], ["ssh"]])
def test_only_the_named_signs_count(signs: list[Sign], lab: Lab) -> None:
    with tcp_server(lab.a.run, ADDRESS, "no SSH", SSH_PORT), pytest.raises(GuestError, match=re.escape(signs[0])):
        Guest(lab.a.vm, ADDRESS, KEY).await_reply(1.5, signs)


def test_guest_that_answers_pings_gets_no_connection(lab: Lab) -> None:
    """A connection costs it a process of sshd."""
    Guest(lab.b.vm, ADDRESS, KEY).await_reply(1)  # nothing listens


@pytest.mark.parametrize("value", [[], ["telnet"]])
def test_unknown_sign_is_rejected(value: list[str]) -> None:
    with pytest.raises(ValidationError, match="ready_by"):
        SnapshotFiles.model_validate({**load_spec().snapshot.model_dump(), "ready_by": value})


def test_diagnose_says_that_pings_are_ignored() -> None:
    (step,) = [it for it in walk(PLACE, replace(HEALTHY, ignores_pings=True)) if it.name == "guest"]
    assert (step.state, step.seen) == (State.GOOD, "10.0.0.2 ignores pings, but its SSH port answers")
