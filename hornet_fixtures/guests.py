"""Restored guests, and the facts of one: collected in one round trip and shared by all tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from hornet.checks.injection import Trial
from hornet.facts import Facts
from hornet.fleet import VM, Fleet
from hornet.inspection import all_probes, collect_facts, scratch_facts, slow_probes
from hornet.snapshot import Bundle
from hornet.spec import Spec


@pytest.fixture(scope="session")
def restored_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A clone of the snapshot that tests look at and do not change."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


@pytest.fixture(scope="session")
def slow_facts(fleet: Fleet, bundle: Bundle, spec: Spec, tier_name: str) -> Iterator[Future[Facts]]:
    """The facts about slow tools: a clone of its own is asked while tests go on."""
    vm = fleet.restore(bundle)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(collect_facts, vm, spec, slow_probes(spec, tier_name))
        # Also where nobody waited for the answers: without its VM the question ends.
        fleet.remove(vm)


@pytest.fixture(scope="session")
def facts(restored_vm: VM, slow_facts: Future[Facts], spec: Spec, tier_name: str) -> Facts:
    """All facts of the restored guest, but for slow ones."""
    return collect_facts(restored_vm, spec, all_probes(spec, tier_name))


@pytest.fixture
def tool_facts(tool_name: str, facts: Facts, slow_facts: Future[Facts], spec: Spec) -> Facts:
    """The facts that tell about a tool."""
    return slow_facts.result() if spec.tools[tool_name].slow else facts


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
