"""Restore by phases, with a hot and a cold page cache (guide: Target Metrics).

Two records: `restore_to_command`, everything from the seal's check to the first command by SSH, and
`snapshot_restore`, the guide's own metric: what loading a snapshot and resuming takes, as the VMM's client sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from hornet.errors import HornetError
from hornet.host.conditions import keeps_no_cold_files
from hornet.host.owned import work_directory
from hornet.host.page_cache import make_cold, warm
from hornet.host.phases import timed
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.results.records import UNEXPLAINED, Failure, Record
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import judges_time

pytestmark = pytest.mark.perf

# What a client of the VMM waits for.
GUIDE_PHASES = ("load_ms", "resume_ms")


@pytest.mark.requirement("target-restore")
@pytest.mark.parametrize("page_cache", ["hot", "cold"])
def test_restore(
    page_cache: str,
    benchmark: Any,
    bundle: Bundle,
    lane: Lane,
    new_session: Callable[[], Fleet],
    workspace: Workspace,
    spec: Spec,
    progress: Progress,
    describe: Callable[..., None],
    record_runs: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    describe("restore_to_command", page_cache=page_cache)
    if page_cache == "cold" and keeps_no_cold_files(workspace.run):
        pytest.skip("not judged: HORNET_HOME is in memory (tmpfs), so nothing is ever cold; set it to a disk")
    rounds = spec.perf.rounds(judged=judges_time(lane))
    progress.say(f"plan, {page_cache} page cache: {rounds.restore_plan}")
    with Restores(bundle, workspace, new_session, rounds.restore, cold=page_cache == "cold") as restores:
        benchmark.pedantic(restores.measure, setup=restores.prepare, teardown=restores.clean_up, rounds=rounds.restores)
    about: dict[str, Any] = {"subject": restored_subject, "page_cache": page_cache, "sessions": restores.sessions}
    failed = [f"restore {failure.number}, {failure.phase}: {failure.reason}" for failure in restores.failures]
    assert restores.phases, f"every restore failed: {failed}"
    whole = record_runs("restore_to_command", restores.phases, failures=restores.failures, **about)
    of_the_guide = [{name: run[name] for name in GUIDE_PHASES} for run in restores.phases]
    record_runs("snapshot_restore", of_the_guide, failures=restores.failures, **about)
    if restores.reported:
        record_runs("load_by_the_vmms_own_word", restores.reported, failures=restores.failures, **about)
    # Only now: the other restores are recorded all the same.
    assert not failed, f"{len(failed)} of {rounds.restores} restores failed: {failed}"
    assert whole.unexplained_share <= spec.perf.max_unexplained_share, (
        f"no phase explains {whole.unexplained_share:.1%} of the restores: {whole.runs}"
    )


@pytest.fixture
def new_session(fleet: Fleet, new_fleet: Callable[..., Fleet]) -> Callable[[], Fleet]:
    """Creates the fleet of a session: a pool of networks and VMs of its own."""
    return partial(new_fleet, check_seals=fleet.check_seals)


class Restores:
    """Measured restores in sessions; a context manager that ends the last session.

    phases: of each restore that succeeded; reported: what its VMM says of it. sessions: of each repetition.
    """

    def __init__(
        self, bundle: Bundle, workspace: Workspace, new_session: Callable[[], Fleet], size: int, *, cold: bool
    ) -> None:
        self._bundle, self._workspace, self._new_session, self._size = bundle, workspace, new_session, size
        self._cold = cold
        self._session = ExitStack()
        self._running: list[VM] = []
        self._measured: list[VM] = []
        self.phases: list[dict[str, float]] = []
        self.reported: list[dict[str, float]] = []
        self.failures: list[Failure] = []
        self.sessions: list[int] = []

    def __enter__(self) -> Restores:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def prepare(self) -> None:
        """Begin a session if the last one has all its restores, and put the page cache into the wanted state."""
        number = len(self.sessions) // self._size
        if len(self.sessions) % self._size == 0:
            self._begin_session()
        self.sessions.append(number)
        self._fleet.preallocate_networks(1)  # preallocated, as in production; docs/network.md says what it costs
        (make_cold if self._cold else warm)(self._own.files)

    def _begin_session(self) -> None:
        self._session.close()
        # A copy of the snapshot: the page cache would keep pages that other clones have mapped.
        directory = self._session.enter_context(work_directory(self._workspace.run, "perf"))
        self._own = self._bundle.checked_copy(directory)
        self._fleet = self._session.enter_context(self._new_session())

    def measure(self) -> None:
        """Restore a VM until its first command has run."""
        began_ns = time.perf_counter_ns()
        try:
            self._running.append(self._fleet.restore(self._own))
            first_command(self._running[0], self._fleet.spec.machine.ssh_timeout_s)
        except HornetError as error:
            self.failures.append(Failure.of_error(len(self.sessions) - 1, error))
            return
        wall_ms = (time.perf_counter_ns() - began_ns) / 1e6
        explained = self._running[0].phases_ms
        self.phases.append({**explained, UNEXPLAINED: max(0.0, wall_ms - sum(explained.values()))})
        self._measured.append(self._running[0])

    def clean_up(self) -> None:
        """Ask the VMM what it says of a restore that succeeded, and remove the VM."""
        for vm in self._measured:
            load_ms = vm.vmm.reported_load_ms()
            self.reported += [{"load_ms": load_ms}] if load_ms is not None else []
        self._measured.clear()
        for vm in self._running:
            self._fleet.remove(vm)
        self._running.clear()


def first_command(vm: VM, timeout_s: float) -> None:
    """Wait until a first command has run. Raises GuestError with the phases until then."""
    try:
        with timed(vm.phases_ms, "first_command_ms"):
            vm.guest.wait_ready(timeout_s)
    except HornetError as error:
        error.phases_ms = vm.phases_ms
        raise
