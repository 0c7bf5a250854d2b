"""The guests under test and their facts. All tests share them; collecting takes one or two round trips."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from hornet.checks.read_only import read_only_probes
from hornet.checks.runtime_secrets import SecretTrial
from hornet.host.artifact_store import file_sha256
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S, collect_facts, guest_probes, scratch_facts, tools_probes
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.life import BOOTED, Life
from hornet.vm.probes import Probe, ProbeResults
from hornet_fixtures.prefetch import prefetched
from hornet_fixtures.under_test import Image


@pytest.fixture(scope="session")
def restored_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A clone of the snapshot that tests may inspect but must not change."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


@pytest.fixture(scope="session")
def start_guest(pytestconfig: pytest.Config, fleet: Fleet, request: pytest.FixtureRequest) -> Callable[[], VM]:
    """Starts a guest whose facts are judged: a clone of the snapshot, or with --life=booted one that was booted."""
    return guest_starter(pytestconfig.getoption("life"), fleet, request)


def guest_starter(life: Life, fleet: Fleet, request: pytest.FixtureRequest) -> Callable[[], VM]:
    """What starts a guest of this life."""
    if life == BOOTED:
        kernel, image = request.getfixturevalue("kernel"), request.getfixturevalue("image")
        return lambda: fleet.boot(kernel, image.path, root=image.root, ready_signal=bool(image.manifest))
    bundle = request.getfixturevalue("bundle")
    return lambda: fleet.restore(bundle)


@dataclass(frozen=True)
class ProbedVM:
    """A guest and the results of its probes."""

    vm: VM
    facts: ProbeResults


def _ask(start_guest: Callable[[], VM], spec: Spec, probes: list[Probe]) -> ProbedVM:
    vm = start_guest()
    return ProbedVM(vm, collect_facts(vm, spec, probes))


@pytest.fixture(scope="session")
@prefetched(start_s=22, done_s=26, quick=True)
def facts_future(
    workers: ThreadPoolExecutor, start_guest: Callable[[], VM], spec: Spec, tier_name: str
) -> Future[ProbedVM]:
    """All probes except those of tools."""
    return workers.submit(_ask, start_guest, spec, guest_probes(spec, tier_name))


@pytest.fixture(scope="session")
def facts(facts_future: Future[ProbedVM]) -> ProbeResults:
    """All facts of a guest under test, except those of its tools."""
    return facts_future.result().facts


@pytest.fixture(scope="session")
@prefetched(start_s=0, done_s=21, quick=True)
def tool_facts_future(
    workers: ThreadPoolExecutor, start_guest: Callable[[], VM], spec: Spec, tier_name: str
) -> Future[ProbedVM]:
    """The probes of tools, in a separate guest."""
    return workers.submit(_ask, start_guest, spec, tools_probes(spec, tier_name))


@pytest.fixture(scope="session")
def tool_facts(tool_facts_future: Future[ProbedVM]) -> ProbeResults:
    """The facts of the tools in a guest under test."""
    return tool_facts_future.result().facts


@dataclass(frozen=True)
class MutableVM:
    """A clone that gets faults and secrets, and the results of its probes."""

    vm: VM
    trial: SecretTrial
    facts: ProbeResults


@pytest.fixture(scope="session")
@prefetched(start_s=21, done_s=28)
def mutable_vm_future(
    workers: ThreadPoolExecutor, tool_facts_future: Future[ProbedVM], spec: Spec
) -> Future[MutableVM]:
    """The probes that change a guest. They reuse the clone of the tool probes, which has already run Node.js."""

    def try_out() -> MutableVM:
        vm = tool_facts_future.result().vm
        trial = SecretTrial(vm.vm_id, secrets.token_hex(16))
        return MutableVM(vm, trial, scratch_facts(vm, spec, trial))

    return workers.submit(try_out)


@pytest.fixture(scope="session")
def mutable_vm(mutable_vm_future: Future[MutableVM]) -> MutableVM:
    """A clone for tests that need a changed guest."""
    return mutable_vm_future.result()


@dataclass(frozen=True)
class ReadOnlyRootVM:
    """A VM booted with a read-only root, and the results of trying to write everywhere.

    disk_before_sha256: the hash of its disk after the boot and before the first attempt to write.
    """

    vm: VM
    disk_before_sha256: str
    facts: ProbeResults


@pytest.fixture(scope="session")
@prefetched(start_s=9, done_s=13)
def read_only_root_future(
    workers: ThreadPoolExecutor, fleet: Fleet, kernel: Path, image: Image, spec: Spec
) -> Future[ReadOnlyRootVM]:
    """A VM booted with the guide's arguments for a read-only root."""

    def boot_and_write() -> ReadOnlyRootVM:
        more = spec.read_only_root.boot_args
        signal = bool(image.manifest)
        vm = fleet.boot(kernel, image.path, root=image.root, extra_boot_args=more, ready_signal=signal)
        before = file_sha256(vm.disk)
        return ReadOnlyRootVM(vm, before, vm.guest.ask(read_only_probes(spec.read_only_root), {}, FACTS_TIMEOUT_S))

    return workers.submit(boot_and_write)


@pytest.fixture(scope="session")
def read_only_root_vm(read_only_root_future: Future[ReadOnlyRootVM]) -> ReadOnlyRootVM:
    """A VM with a read-only root."""
    return read_only_root_future.result()
