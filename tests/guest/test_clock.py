"""A guest's clock runs as fast as the host's: an emulated guest is told the rate of its time stamp counter."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hornet.snapshot import Bundle
from hornet.vm.fleet import VM, Fleet

SECONDS = 5
TIMEOUT_S = 60


@pytest.fixture
def vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    restored = fleet.restore(bundle)
    yield restored
    fleet.remove(restored)


def test_guest_clock_runs_at_the_hosts_rate(vm: VM) -> None:
    read = "cut -d ' ' -f 1 /proc/uptime"
    first_s, first = time.monotonic(), float(vm.guest.check_output(read, TIMEOUT_S))
    time.sleep(SECONDS)
    last_s, last = time.monotonic(), float(vm.guest.check_output(read, TIMEOUT_S))
    assert (last - first) / (last_s - first_s) == pytest.approx(1, abs=0.1)
