"""What a restore must preserve and what it must make anew; uniqueness on several clones of one snapshot."""

from __future__ import annotations

import pytest

from hornet.checks import hazards
from hornet.checks.first_packets import first_packet_problems
from hornet.scenarios.lineage import Lineage
from hornet.spec.model import Spec
from hornet_fixtures.assertions import assert_no_problems

pytestmark = pytest.mark.conformance

PARENT = "the parent"


def seen_first(lineage: Lineage, name: str) -> dict[str, str]:
    """What each clone's agent drew as soon as it ran, and the parent's before."""
    drawn = {clone.name: getattr(clone.first.seen, name) for clone in lineage.clones}
    return {PARENT: getattr(lineage.parent.before.seen, name), **drawn}


def told(lineage: Lineage, probe: str) -> dict[str, str]:
    """What each says to a probe by SSH."""
    answers = {clone.name: clone.facts[probe].output for clone in lineage.clones}
    return {PARENT: lineage.parent.facts[probe].output, **answers}


# --- Random numbers ---------------------------------------------------------------------------------------------------


def test_the_first_random_bytes_differ(lineage: Lineage) -> None:
    """A program that ran at the snapshot reads /dev/urandom as the first thing after the restore."""
    assert_no_problems(hazards.distinct_problems("first 16 bytes of /dev/urandom", seen_first(lineage, "urandom")))


def test_the_first_random_bytes_of_node_differ(lineage: Lineage) -> None:
    """The same program asks OpenSSL, which has a generator of its own: it makes the keys of TLS connections."""
    assert_no_problems(hazards.distinct_problems("crypto.randomBytes(16)", seen_first(lineage, "random_bytes")))


@pytest.mark.parametrize("name", ["uuid", "web_uuid"])
def test_the_first_uuids_of_node_differ(name: str, lineage: Lineage) -> None:
    """The same program asks Node.js for a UUID, which draws random bytes for many UUIDs ahead."""
    assert_no_problems(hazards.distinct_problems(f"crypto.randomUUID() ({name})", seen_first(lineage, name)))


@pytest.mark.parametrize("name", ["urandom", "getrandom"])
def test_later_random_bytes_differ(name: str, lineage: Lineage) -> None:
    """A program started after the restore."""
    assert_no_problems(hazards.distinct_problems(name, told(lineage, f"hazard.{name}")))


def test_no_random_seed_is_shared(lineage: Lineage) -> None:
    """A file that feeds the random number generator at the next boot."""
    facts = {clone.name: clone.facts for clone in lineage.clones}
    assert_no_problems(hazards.seed_file_problems({PARENT: lineage.parent.facts, **facts}))


# --- Identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["boot_id", "machine_id"])
def test_the_identity_differs(name: str, lineage: Lineage) -> None:
    """By these, programs and log servers tell machines and boots apart."""
    assert_no_problems(hazards.distinct_problems(name, told(lineage, f"hazard.{name}")))


def test_the_ssh_host_key_differs(lineage: Lineage) -> None:
    """Who has one VM's host key can play the server of every VM that shows the same."""
    keys = {PARENT: lineage.parent.host_key, **{clone.name: clone.host_key for clone in lineage.clones}}
    assert_no_problems(hazards.distinct_problems("SSH host key", keys))


# --- Time -------------------------------------------------------------------------------------------------------------


def test_the_clock_is_right_at_once(lineage: Lineage, spec: Spec) -> None:
    """The wall clock stood still with the VM; certificates of today are not yet valid in a VM that lives yesterday."""
    limit_ms = spec.hazards.max_clock_error_ms
    for clone in lineage.clones:
        first, later = clone.first, clone.later
        assert_no_problems(hazards.clock_problems(clone.name, first.seen, clone.resumed_s, first.got_s, limit_ms))
        assert_no_problems(hazards.clock_problems(clone.name, later.seen, later.asked_s, later.got_s, limit_ms))


def test_the_monotonic_clock_goes_on_where_it_was(lineage: Lineage, spec: Spec) -> None:
    """Timers run by it: it neither goes back nor jumps over the time that the VM stood still."""
    for clone in lineage.clones:
        stood_still_s = clone.resumed_s - lineage.parent.paused_s
        limit_ms = spec.hazards.max_clock_error_ms
        assert_no_problems(
            hazards.monotonic_problems(clone.name, lineage.parent.before, clone.first, stood_still_s, limit_ms)
        )


# --- Going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("memory-and-disk-agree")
def test_it_goes_on_and_did_not_boot_again(lineage: Lineage) -> None:
    """A program holds a number that is nowhere but in its memory, and counts."""
    for clone in lineage.clones:
        assert_no_problems(
            hazards.continuity_problems(clone.name, lineage.parent.before.seen, clone.first.seen, clone.later.seen)
        )


def test_what_was_synced_is_on_the_disk(lineage: Lineage) -> None:
    """The snapshot was taken while the program wrote: no line is missing, none is torn."""
    for clone in lineage.clones:
        text = clone.facts["hazard.disk"].output
        assert_no_problems(
            hazards.counting_problems(
                f"{clone.name}: disk", text, r"^([0-9]{1,15})$", lineage.parent.before.seen.synced
            )
        )


def test_the_console_prints_on(lineage: Lineage) -> None:
    """The snapshot was taken while the program printed on the serial console."""
    for clone in lineage.clones:
        pattern = rf"^agent {lineage.parent.nonce} counts ([0-9]{{1,15}})$"
        assert_no_problems(
            hazards.counting_problems(
                f"{clone.name}: console", clone.console, pattern, lineage.parent.before.seen.count
            )
        )


# --- Network ----------------------------------------------------------------------------------------------------------


def test_the_first_packets_are_right(lineage: Lineage, spec: Spec) -> None:
    """The guest knows the gateway's MAC address from before the snapshot, in another VM's network."""
    for clone in lineage.clones:
        assert_no_problems(first_packet_problems(clone.name, spec.network, clone.frames))


def test_an_old_connection_ends_with_an_error(lineage: Lineage, spec: Spec) -> None:
    """The other end of a TCP connection is not there in a clone: its program must learn that, and connect anew."""
    limit_s = spec.hazards.reconnect_timeout_s
    for clone in lineage.clones:
        assert_no_problems(hazards.connection_problems(clone.name, clone.later.seen, clone.reconnected_s, limit_s))


# --- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("secrets-injected")
def test_no_removed_secret_is_in_the_snapshot(lineage: Lineage) -> None:
    """A guest got a secret the guide's way, used it and removed it, before the snapshot was taken."""
    assert lineage.parent.facts["hazard.secret_used"].output.strip() == "0", "the guest could not use its secret"
    assert_no_problems(hazards.secret_problems(lineage.parent.bundle.files, lineage.parent.canary))
