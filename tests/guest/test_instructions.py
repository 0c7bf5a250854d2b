"""Guest instructions are counted in the jail, by phase, and tell a slower boot from an equal one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.errors import VMError
from hornet.results.compare import MIN_INSTRUCTIONS_FACTOR
from hornet.spec.lane import Lane
from hornet.vm.fleet import Fleet
from hornet.vmm.instructions import count_in
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.guest

# The kernel prints every step of its start: what a forgotten debug option costs. Clearing memory twice
# (init_on_alloc=1) does not show in the count of QEMU 10.
SLOWER_BOOT_ARGS = "initcall_debug ignore_loglevel"


def test_counts_tell_a_slower_boot_from_an_equal_one(
    lane: Lane, new_fleet: Callable[..., Fleet], kernel: Path, image: Image
) -> None:
    if lane.accelerator != "tcg":
        with pytest.raises(VMError, match="can't be counted"):
            count_in(lane)
        return
    totals = []
    with new_fleet(count_instructions=True) as fleet:
        for extra_boot_args in ("", "", SLOWER_BOOT_ARGS):
            vm = fleet.boot(kernel, image.path, extra_boot_args=extra_boot_args)
            assert vm.counter
            assert list(vm.counter.by_phase) == ["userland", "sshd"]
            assert min(vm.counter.by_phase.values()) > 0
            assert Path(f"/proc/{vm.vmm.pid}/status").read_text().count(f"Uid:\t{vm.vmm.config.user}") == 1
            totals.append(sum(vm.counter.by_phase.values()))
            fleet.remove(vm)
    first, again, slower = totals
    assert max(first, again) < min(first, again) * MIN_INSTRUCTIONS_FACTOR
    assert slower > max(first, again) * MIN_INSTRUCTIONS_FACTOR
