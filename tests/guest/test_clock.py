"""A guest's clock runs as fast as the host's: an emulated guest is told the rate of its time stamp counter."""

from __future__ import annotations

import time

import pytest

from hornet.vm.fleet import VM

SECONDS = 5
TIMEOUT_S = 60


def test_guest_clock_runs_at_the_hosts_rate(shared_vm: VM) -> None:
    read = "date +%s.%N"
    first_s, first = time.monotonic(), float(shared_vm.guest.check_output(read, TIMEOUT_S))
    time.sleep(SECONDS)
    last_s, last = time.monotonic(), float(shared_vm.guest.check_output(read, TIMEOUT_S))
    assert (last - first) / (last_s - first_s) == pytest.approx(1, abs=0.1)
