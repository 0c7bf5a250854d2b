"""Restored guests, and the facts of one: collected in one round trip and shared by all tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hornet.checks.injection import Trial
from hornet.facts import Facts
from hornet.fleet import VM, Fleet
from hornet.inspection import all_probes, collect_facts, scratch_facts
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


@dataclass(frozen=True)
class Scratch:
    """A clone that is put through faults and given secrets, and what it said."""

    vm: VM
    trial: Trial
    facts: Facts


@pytest.fixture(scope="session")
def scratch(fleet: Fleet, bundle: Bundle, spec: Spec) -> Iterator[Scratch]:
    """A clone of its own, with memory of its own, for whatever changes a guest."""
    vm = fleet.restore(bundle, own_memory=True)
    trial = Trial(vm.vm_id, secrets.token_hex(16))
    yield Scratch(vm, trial, scratch_facts(vm, spec, trial))
    fleet.remove(vm)
