"""The checks of hazards and clones: each with an input that it must reject."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.checks import hazards
from hornet.checks.clones import disk_problems, sharing_problems
from hornet.checks.first_packets import first_packet_problems
from hornet.spec.model import load_spec
from hornet.vm.agent import TimedSample
from hornet.vm.memory import MemorySplit
from tests.support import lineage_samples

SPEC = load_spec()
NETWORK = SPEC.network
BEFORE = dataclasses.replace(lineage_samples.BEFORE, urandom="00", random_bytes="01", uuid="02", web_uuid="03")
AFTER = dataclasses.replace(BEFORE, count=11, monotonic_s=51.0, uptime_s=61.0, wall_s=1100.0)
LATER = dataclasses.replace(AFTER, count=12, lost="ECONNRESET", connections=2)


def assert_only(problems: list[str], named: str | None) -> None:
    """One problem, which says what is `named`; none at all for None."""
    expected = [] if named is None else [named]
    assert len(problems) == len(expected), problems
    assert all(words in problem for words, problem in zip(expected, problems, strict=True)), problems


def test_different_values_pass() -> None:
    assert hazards.distinct_problems("boot_id", {"parent": "a", "vm1": "b", "vm2": "c\n"}) == []


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=6))
def test_equal_values_are_found_wherever_they_are(values: list[str]) -> None:
    problems = hazards.distinct_problems("x", {f"vm{i}": value for i, value in enumerate(values)})
    assert bool(problems) == (len(set(values)) < len(values))


def test_equal_and_missing_values_are_named() -> None:
    problems = hazards.distinct_problems("boot_id", {"parent": "a", "vm1": "a\n", "vm2": " "})
    assert problems == ["boot_id: missing in vm2", "boot_id: parent, vm1 have the same value, a"]


@pytest.mark.parametrize(
    ("wall_s", "named"),
    [(99.9, None), (100.5, None), (101.1, None), (98.9, "1100 ms behind"), (102.3, "1300 ms ahead")],
)
def test_a_wrong_clock_is_named(wall_s: float, named: str | None) -> None:
    seen = dataclasses.replace(BEFORE, wall_s=wall_s)
    problems = hazards.clock_problems("vm1", seen, earliest_s=100, latest_s=101, limit_ms=1000)
    assert_only(problems, named)


@pytest.mark.parametrize(("passed_s", "named"), [(2.0, None), (-0.1, "went back"), (9.0, "ran for at most 4.000 s")])
def test_a_monotonic_clock_that_jumps_is_named(passed_s: float, named: str | None) -> None:
    before = TimedSample(BEFORE, asked_s=100, got_s=101)
    seen = dataclasses.replace(AFTER, monotonic_s=BEFORE.monotonic_s + passed_s)
    after = TimedSample(seen, asked_s=107, got_s=110)
    problems = hazards.monotonic_problems("vm1", before, after, stood_still_s=6, limit_ms=1000)
    assert_only(problems, named)


def test_continuing_counter_passes() -> None:
    assert hazards.continuity_problems("vm1", BEFORE, AFTER, LATER) == []


@pytest.mark.parametrize(
    ("first", "later", "named"),
    [
        ({"nonce": "other"}, {}, "memory lost"),
        ({"pid": 8}, {}, "process 8, before the snapshot 7"),
        ({"count": 9}, {}, "stopped counting"),
        ({}, {"count": AFTER.count}, "stopped counting"),
        ({"uptime_s": 1.0}, {}, "rebooted"),
    ],
)
def test_a_guest_that_did_not_go_on_is_named(first: dict[str, Any], later: dict[str, Any], named: str) -> None:
    problems = hazards.continuity_problems(
        "vm1", BEFORE, dataclasses.replace(AFTER, **first), dataclasses.replace(LATER, **later)
    )
    assert any(named in problem for problem in problems)


def test_a_connection_that_hangs_or_ends_without_an_error_is_named() -> None:
    assert hazards.connection_problems("vm1", LATER, 0.4, 10) == []
    (hangs,) = hazards.connection_problems("vm1", LATER, None, 10)
    assert "still hangs after 10 s" in hangs
    (silent,) = hazards.connection_problems("vm1", AFTER, 0.4, 10)
    assert "without an error" in silent


@pytest.mark.parametrize(
    ("text", "at_least", "named"),
    [
        ("1\n2\n3\n", 3, None),
        ("1\n3\n", 3, "3 follows 1"),
        ("1\n2\n", 3, "counts to 2, expected at least 3"),
        ("torn", 0, "counts to nothing"),
    ],
)
def test_a_gap_in_a_count_is_named(text: str, at_least: int, named: str | None) -> None:
    problems = hazards.counting_problems("disk", text, r"^([0-9]{1,15})$", at_least)
    assert_only(problems, named)


def test_a_secret_is_found_wherever_it_is(tmp_path: Path) -> None:
    clean, dirty = tmp_path / "clean", tmp_path / "dirty"
    clean.write_bytes(bytes(8192) + b"cana" + bytes(8192))
    dirty.write_bytes(bytes(5000) + b"canary" + bytes(8192) + b"canary")
    (problem,) = hazards.secret_problems([clean, dirty], "canary")
    assert problem.startswith("dirty: removed secret still there 2 times")


def frame(*, target: str, source: str, kind: int, body: bytes) -> bytes:
    return bytes.fromhex((target + source).replace(":", "")) + kind.to_bytes(2, "big") + body


def arp(sender_mac: str = NETWORK.guest_mac, sender: bytes = NETWORK.guest_address.ip.packed) -> bytes:
    return bytes(8) + bytes.fromhex(sender_mac.replace(":", "")) + sender + bytes(10)


def ipv4(source: bytes = NETWORK.guest_address.ip.packed) -> bytes:
    return bytes(12) + source + NETWORK.gateway_address.ip.packed


GUEST, GATEWAY = NETWORK.guest_mac, NETWORK.gateway_mac


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (frame(target=GATEWAY, source=GUEST, kind=0x0800, body=ipv4()), None),
        (frame(target="ff:ff:ff:ff:ff:ff", source=GUEST, kind=0x0806, body=arp()), None),
        (frame(target=GATEWAY, source="02:00:00:00:00:09", kind=0x0800, body=ipv4()), "sent from 02:00:00:00:00:09"),
        (frame(target="02:00:00:00:00:09", source=GUEST, kind=0x0800, body=ipv4()), "a stale ARP entry"),
        (frame(target=GATEWAY, source=GUEST, kind=0x0800, body=ipv4(bytes([10, 0, 0, 9]))), "IPv4 from 10.0.0.9"),
        (frame(target=GATEWAY, source=GUEST, kind=0x0806, body=arp(sender=bytes([10, 0, 0, 9]))), "ARP from 10.0.0.9"),
        (frame(target=GATEWAY, source=GUEST, kind=0x0806, body=arp("02:00:00:00:00:09")), "ARP sender MAC 02:00"),
        (frame(target="02:00:00:00:00:09", source=GUEST, kind=0x0806, body=arp()), "ARP to 02:00:00:00:00:09"),
    ],
)
def test_a_wrong_packet_is_named(sent: bytes, named: str | None) -> None:
    problems = first_packet_problems("vm1", NETWORK, [sent])
    assert_only(problems, named)


def test_missing_answer_is_a_failure() -> None:
    assert first_packet_problems("vm1", NETWORK, []) == ["vm1: its network card sent nothing"]


def test_two_names_of_one_disk_are_found(tmp_path: Path) -> None:
    for name in ("snapshot", "one", "two"):
        (tmp_path / name).write_text(name)
    disks = {"vm1": tmp_path / "one", "vm2": tmp_path / "two"}
    assert disk_problems(disks, tmp_path / "snapshot") == []
    (tmp_path / "link").hardlink_to(tmp_path / "one")
    (problem,) = disk_problems({**disks, "vm3": tmp_path / "link"}, tmp_path / "snapshot")
    assert "also the disk of vm1" in problem
    (problem,) = disk_problems({"vm1": tmp_path / "snapshot"}, tmp_path / "snapshot")
    assert "also the disk of the snapshot" in problem


def test_a_clone_that_shares_nothing_is_named() -> None:
    assert sharing_problems("vm1", MemorySplit(1.0, 0.5, 1.0, 1.0)) == []
    assert sharing_problems("vm1", MemorySplit(9.0, 0.0, 1.0, 1.0))
