"""Take memory from a guest with its balloon and return it; the guest reports how much it has."""

from __future__ import annotations

import re

from hornet.checks.balloon import Balloon
from hornet.errors import GuestError
from hornet.vm.fleet import VM

TIMEOUT_S = 60
# Wait until the guest's memory is on the wanted side of a limit in KiB, then print its size.
WAIT = """
total() { sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; }
steps=0; until test $(total) OPERATOR LIMIT || test $((steps = steps + 1)) -gt 400; do sleep 0.05; done; total
"""


def take_and_give(vm: VM, taken_mib: int) -> Balloon:
    """Take memory and return it. Raises VMError, GuestError."""

    def total_kib(operator: str, limit_kib: int) -> int:
        script = WAIT.replace("OPERATOR", operator).replace("LIMIT", str(limit_kib))
        printed = vm.guest.check_output(script, TIMEOUT_S).strip()
        if not re.fullmatch(r"[0-9]{1,15}", printed):
            raise GuestError(
                f"the guest printed {printed[:60]!r}, expected its memory in KiB", "is /proc mounted in it?"
            )
        return int(printed)

    before_kib = total_kib("-gt", 0)
    vm.vmm.set_balloon(taken_mib)
    taken_kib = total_kib("-le", before_kib - taken_mib * 1024)
    vm.vmm.set_balloon(0)
    return Balloon(taken_mib, before_kib, taken_kib, total_kib("-ge", before_kib))
