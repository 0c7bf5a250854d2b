"""Guests under test are clones of the snapshot, or with --life=booted such that were booted."""

from __future__ import annotations

import pytest

from hornet.vm.fleet import Fleet
from hornet.vm.life import BOOTED, LIVES, Life
from hornet_fixtures.guests import guest_starter


@pytest.mark.parametrize("life", LIVES)
def test_a_guest_has_the_life_that_was_asked_for(life: Life, fleet: Fleet, request: pytest.FixtureRequest) -> None:
    vm = guest_starter(life, fleet, request)()
    try:
        assert ("userland_ms" in vm.phases_ms) == (life == BOOTED), "only a booted guest starts its userland"
    finally:
        fleet.remove(vm)
