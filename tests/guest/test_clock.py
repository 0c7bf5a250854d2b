"""A guest's clock runs as fast as the host's, because an emulated guest is told the frequency of its TSC.

Its timers agree with its clock: it measures the frequency of its APIC timer with the TSC alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest

from hornet.snapshot import Bundle
from hornet.vm.fleet import VM, Fleet

SECONDS = 5
TIMEOUT_S = 60
SLEEP_S = 2
SLEEPS = f"for each in 1 2 3 4; do read up idle </proc/uptime; echo $up; sleep {SLEEP_S}; done"
# Of the rate. A wrong one differs by much more: the processor's nominal frequency is not that of its counter.
TOLERANCE = 0.1


@pytest.fixture
def vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    restored = fleet.restore(bundle)
    yield restored
    fleet.remove(restored)


def test_guest_clock_runs_at_the_hosts_rate(vm: VM) -> None:
    first = read_uptime(vm)
    time.sleep(SECONDS)
    last = read_uptime(vm)
    passed_s = last.guest_s - first.guest_s
    # On a busy machine an answer may be late, so the host's time between two readings has bounds.
    assert passed_s >= (last.asked_s - first.answered_s) * (1 - TOLERANCE)
    assert passed_s <= (last.answered_s - first.asked_s) * (1 + TOLERANCE)


def test_guest_timers_end_in_time(vm: VM) -> None:
    times_s = [float(line) for line in vm.guest.check_output(SLEEPS, TIMEOUT_S).split()]
    sleeps_s = [after - before for before, after in pairwise(times_s)]
    # A busy machine is late in some of them. A wrong rate would be in all.
    assert SLEEP_S * (1 - TOLERANCE) <= min(sleeps_s) <= SLEEP_S * (1 + TOLERANCE)


class Reading(NamedTuple):
    """A guest's uptime, and the host's monotonic time before and after."""

    asked_s: float
    guest_s: float
    answered_s: float


def read_uptime(vm: VM) -> Reading:
    asked_s = time.monotonic()
    guest_s = float(vm.guest.check_output("cut -d ' ' -f 1 /proc/uptime", TIMEOUT_S))
    return Reading(asked_s, guest_s, time.monotonic())
