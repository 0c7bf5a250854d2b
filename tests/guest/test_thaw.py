"""A frozen guest that thawed in the middle of the host's line is refreshed all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.restore_agent import THAWED, freeze, refresh

TIMEOUT_S = 60


@pytest.fixture
def vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    restored = fleet.restore(bundle)
    yield restored
    fleet.remove(restored)


def test_a_line_that_was_cut_is_sent_again(vm: VM, spec: Spec) -> None:
    vm.guest.check_output("date -s '2001-01-01 00:00:00'", TIMEOUT_S)
    console = vm.vmm.console
    freeze(console).wait(spec.snapshot.freeze_timeout_s)
    console.send("hornetos refresh 00000000 ")
    console.wait_for(THAWED, spec.snapshot.thaw_after_s + TIMEOUT_S)
    refresh(console).wait(spec.snapshot.refresh_timeout_s)
    guest_s = int(vm.guest.check_output("date +%s", TIMEOUT_S))
    # The line waited while the guest obeyed what it took for the first, so the time in it is not exact.
    assert guest_s == pytest.approx(time.time(), abs=TIMEOUT_S)
