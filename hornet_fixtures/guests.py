"""Restored guests, and their facts: collected in a round trip or two and shared by all tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from hornet.checks.read_only import read_only_probes
from hornet.checks.runtime_secrets import Trial
from hornet.host.artifact_store import file_sha256
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S, collect_facts, guest_probes, scratch_facts, tools_probes
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.probes import Facts, Probe
from hornet_fixtures.under_test import Image


@pytest.fixture(scope="session")
def restored_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A clone of the snapshot that tests look at and do not change."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


@dataclass(frozen=True)
class Asked:
    """A clone that is looked at, and what it said."""

    vm: VM
    facts: Facts


def _ask(fleet: Fleet, bundle: Bundle, probes: list[Probe]) -> Asked:
    vm = fleet.restore(bundle)
    return Asked(vm, collect_facts(vm, fleet.spec, probes))


@pytest.fixture(scope="session")
def begun_facts(workers: ThreadPoolExecutor, fleet: Fleet, bundle: Bundle, spec: Spec, tier_name: str) -> Future[Asked]:
    """All questions but those about tools."""
    return workers.submit(_ask, fleet, bundle, guest_probes(spec, tier_name))


@pytest.fixture(scope="session")
def facts(begun_facts: Future[Asked]) -> Facts:
    """All facts of a restored guest, but for those of its tools."""
    return begun_facts.result().facts


@pytest.fixture(scope="session")
def begun_tool_facts(
    workers: ThreadPoolExecutor, fleet: Fleet, bundle: Bundle, spec: Spec, tier_name: str
) -> Future[Asked]:
    """The questions about tools, to a clone of its own."""
    return workers.submit(_ask, fleet, bundle, tools_probes(spec, tier_name))


@pytest.fixture(scope="session")
def tool_facts(begun_tool_facts: Future[Asked]) -> Facts:
    """The facts of the tools in a restored guest."""
    return begun_tool_facts.result().facts


@dataclass(frozen=True)
class Scratch:
    """A clone that is put through faults and given secrets, and what it said."""

    vm: VM
    trial: Trial
    facts: Facts


@pytest.fixture(scope="session")
def begun_scratch(workers: ThreadPoolExecutor, begun_tool_facts: Future[Asked], spec: Spec) -> Future[Scratch]:
    """What changes a guest: tried with the one whose tools were used, Node.js among them."""

    def try_out() -> Scratch:
        vm = begun_tool_facts.result().vm
        trial = Trial(vm.vm_id, secrets.token_hex(16))
        return Scratch(vm, trial, scratch_facts(vm, spec, trial))

    return workers.submit(try_out)


@pytest.fixture(scope="session")
def scratch(begun_scratch: Future[Scratch]) -> Scratch:
    """A clone for whatever changes a guest."""
    return begun_scratch.result()


@dataclass(frozen=True)
class Hardened:
    """A VM booted with a read-only root, and what came of trying to write everywhere.

    disk_before_sha256: of its disk when it was up, before anybody tried to write there.
    """

    vm: VM
    disk_before_sha256: str
    facts: Facts


@pytest.fixture(scope="session")
def begun_hardened(
    workers: ThreadPoolExecutor, fleet: Fleet, kernel: Path, image: Image, spec: Spec
) -> Future[Hardened]:
    """A VM booted the guide's hardened way."""

    def boot_and_write() -> Hardened:
        more = spec.read_only_root.boot_args
        vm = fleet.boot(kernel, image.path, more_boot_args=more, announces=bool(image.manifest))
        before = file_sha256(vm.disk)
        return Hardened(vm, before, vm.guest.ask(read_only_probes(spec.read_only_root), {}, FACTS_TIMEOUT_S))

    return workers.submit(boot_and_write)


@pytest.fixture(scope="session")
def hardened(begun_hardened: Future[Hardened]) -> Hardened:
    """A VM with a read-only root."""
    return begun_hardened.result()
