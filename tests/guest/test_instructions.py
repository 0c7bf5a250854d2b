"""Guest instructions are counted in the jail, by phase, and tell a slower boot from an equal one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest

from hornet.errors import VMError
from hornet.results.compare import MIN_INSTRUCTIONS_FACTOR
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet.vmm.instructions import count_in
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.guest

# The kernel prints every step of its start: what a forgotten debug option costs, before its userland begins. Clearing
# memory twice (init_on_alloc=1) does not show in the count of QEMU 10.
SLOWER_BOOT_ARGS = "initcall_debug ignore_loglevel"


def test_counts_tell_a_slower_boot_from_an_equal_one(
    lane: Lane, new_fleet: Callable[..., Fleet], kernel: Path, image: Image, spec: Spec
) -> None:
    if lane.accelerator != "tcg":
        with pytest.raises(VMError, match="can't be counted"):
            count_in(lane)
        return
    with new_fleet(count_instructions=True) as fleet:

        def boot(extra_boot_args: str) -> dict[str, int]:
            vm = fleet.boot(kernel, image.path, extra_boot_args=extra_boot_args)
            assert vm.counter
            assert list(vm.counter.by_phase) == ["userland", "sshd"]
            assert min(vm.counter.by_phase.values()) > 0
            assert Path(f"/proc/{vm.vmm.pid}/status").read_text().count(f"Uid:\t{vm.vmm.config.user}") == 1
            fleet.remove(vm)
            return vm.counter.by_phase

        # One boot differs from an equal one by up to 4 %; the medians of as many as a comparison needs don't.
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            first, again, slower = (
                list(pool.map(boot, [extra_boot_args] * spec.instructions.rounds))
                for extra_boot_args in ("", "", SLOWER_BOOT_ARGS)
            )
    totals = [median(sum(by_phase.values()) for by_phase in boots) for boots in (first, again)]
    assert max(totals) < min(totals) * MIN_INSTRUCTIONS_FACTOR
    before_userland = [median(by_phase["userland"] for by_phase in boots) for boots in (first, again, slower)]
    assert before_userland[2] > max(before_userland[:2]) * MIN_INSTRUCTIONS_FACTOR
