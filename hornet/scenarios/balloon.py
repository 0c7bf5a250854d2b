"""Take memory from a guest with its balloon and return it; the host's own books say what it got back.

Not the guest's MemTotal: with deflate_on_oom Linux does not change it, and a guest may say what it likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hornet.checks.balloon import Balloon
from hornet.host.emulation import patient_s
from hornet.vm.fleet import VM
from hornet.vm.memory import pss_mb

TIMEOUT_S = 60
SETTLE_S = 20
POLL_S = 0.1
# Writes to nearly all memory that the guest could use, and frees it again.
USE_FREE_MEMORY = """
kib=$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)
dd if=/dev/zero of=/dev/null bs=$((kib * 9 / 10))k count=1 2>/dev/null
"""


def use_free_memory(vm: VM) -> None:
    """Make the guest write to its free memory, so that the host must provide all of it. Raises GuestError."""
    vm.guest.check_output(USE_FREE_MEMORY, TIMEOUT_S)


def take_and_give(vm: VM, taken_mib: int) -> Balloon:
    """Take memory and return it. Raises VMError, GuestError."""

    def used_again_mb() -> float:
        use_free_memory(vm)
        return pss_mb(vm.vmm.pid)

    before_mb = used_again_mb()
    least_mb = Balloon(taken_mib, before_mb, 0, 0).least_mb
    vm.vmm.set_balloon(taken_mib)
    inflated_mb = _wait_for(lambda: pss_mb(vm.vmm.pid), lambda mb: before_mb - mb >= least_mb)
    vm.vmm.set_balloon(0)
    deflated_mb = _wait_for(used_again_mb, lambda mb: mb - inflated_mb >= least_mb)
    return Balloon(taken_mib, before_mb, inflated_mb, deflated_mb)


def _wait_for(measure: Callable[[], float], enough: Callable[[float], bool]) -> float:
    """The first value that is enough, or the last one: the balloon moves while its guest runs."""
    deadline_s = time.monotonic() + patient_s(SETTLE_S)
    while not enough(value := measure()) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return value
