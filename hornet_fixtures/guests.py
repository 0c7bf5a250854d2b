"""Restored guests, and the facts of one: collected in one round trip and shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornet.facts import Facts
from hornet.fleet import VM, Fleet
from hornet.inspection import all_probes, collect_facts
from hornet.snapshot import Bundle
from hornet.spec import Spec


@pytest.fixture(scope="session")
def restored_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A clone of the snapshot that tests look at and do not change."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


@pytest.fixture(scope="session")
def facts(restored_vm: VM, spec: Spec, tier_name: str) -> Facts:
    """All facts of the restored guest."""
    return collect_facts(restored_vm, spec, all_probes(spec, tier_name))
