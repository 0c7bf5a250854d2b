"""The guide's procedures, tried on the snapshot under test. All tests share the trials (hornet/procedures/trials)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hornet.checks.procedures import CleanUpFacts, RollbackFacts, SlimFacts
from hornet.errors import SnapshotError
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE
from hornet.host.owned import work_directory
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.network import HostNet
from hornet.procedures.trials import backup as backups
from hornet.procedures.trials.backup import BackupTrial
from hornet.procedures.trials.killed import try_clean_up
from hornet.procedures.trials.new_version import VersionTrial, try_new_version
from hornet.procedures.trials.place import FileStat, TrialPlace, stats, trial_spec
from hornet.procedures.trials.slimming import try_slim
from hornet.procedures.trials.troubles import TroubleTrial, try_troubles
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.spec.network import RUN_PREFIX
from hornet.vm.fleet import Fleet
from hornet_fixtures.prefetch import prefetched

T = TypeVar("T")


@dataclass(frozen=True)
class Trials:
    """The place of the trials, and the stat of the snapshot's files: before the first trial and after each."""

    place: TrialPlace
    before: Mapping[str, FileStat]
    after: dict[str, Mapping[str, FileStat]] = field(default_factory=dict)

    def run(self, procedure: str, trial: Callable[[], T]) -> T:
        """Run a trial; then look at the snapshot's files, whatever became of it."""
        try:
            return trial()
        finally:
            self.after[procedure] = stats(self.place.subject)


@pytest.fixture(scope="session")
def trials(
    workers: ThreadPoolExecutor,
    new_fleet: Callable[..., Fleet],
    bundle: Bundle,
    spec: Spec,
    workspace: Workspace,
) -> Iterator[Trials]:
    """A home, a network and VMs for the trials; removed with the test run. They end before the workers are awaited."""
    used = trial_spec(spec, bundle.manifest().origin.tier)
    with (
        work_directory(workspace.run, "procedures", PRIVATE_DIRECTORY_MODE) as directory,
        HostNet.private(spec.network, f"{RUN_PREFIX}{os.getpid()}-procedures-") as net,
        Path(os.devnull).open("w") as nowhere,
        new_fleet(spec=used, workspace=Workspace(directory), host_net=net) as fleet,
        new_fleet(spec=used, workspace=Workspace(directory), host_net=net, check_seals=False) as unsealed,
    ):
        yield Trials(TrialPlace(bundle, fleet, unsealed, net, Progress(nowhere)), stats(bundle))


@dataclass(frozen=True)
class MixedFiles:
    """refused: why each mixture of two snapshots was refused, by file. damage: what one caused without a seal."""

    refused: Mapping[str, str]
    damage: list[str]


@pytest.fixture(scope="session")
@prefetched(start_s=8, done_s=40)
def version_future(workers: ThreadPoolExecutor, trials: Trials) -> Future[VersionTrial]:
    """A new version of the snapshot: restored, changed, snapshotted, validated, published."""
    return workers.submit(trials.run, "new version", lambda: try_new_version(trials.place))


@pytest.fixture(scope="session")
@prefetched(start_s=30, done_s=36)
def clean_up_future(workers: ThreadPoolExecutor, trials: Trials) -> Future[CleanUpFacts]:
    """A process that runs a VM is killed, and what it left is removed."""
    return workers.submit(trials.run, "clean-up", lambda: try_clean_up(trials.place))


@pytest.fixture(scope="session")
@prefetched(start_s=31, done_s=37)
def backup_future(workers: ThreadPoolExecutor, trials: Trials) -> Future[BackupTrial]:
    """A copy of the three files, adopted."""
    return workers.submit(trials.run, "backup and adoption", lambda: backups.back_up(trials.place))


@pytest.fixture(scope="session")
@prefetched(start_s=34, done_s=45)
def troubles_future(
    workers: ThreadPoolExecutor, trials: Trials, backup_future: Future[BackupTrial]
) -> Future[TroubleTrial]:
    """A full disk and a damaged one, in VMs of the backup."""
    return workers.submit(
        trials.run, "troubleshooting", lambda: try_troubles(trials.place, backup_future.result().bundle)
    )


@pytest.fixture(scope="session")
@prefetched(start_s=33, done_s=60)
def slim_future(
    workers: ThreadPoolExecutor, trials: Trials, version_future: Future[VersionTrial]
) -> Future[SlimFacts | None]:
    """Phase 1 on the new version; None if there is none, or if it has no planted files."""

    def slim() -> SlimFacts | None:
        version = version_future.result()
        if version.published is None or not version.on_disk:
            return None
        return try_slim(trials.place, version.published, version.planted)

    return workers.submit(trials.run, "slimming", slim)


@pytest.fixture(scope="session")
@prefetched(start_s=35, done_s=50)
def rollback_future(
    workers: ThreadPoolExecutor,
    trials: Trials,
    version_future: Future[VersionTrial],
    backup_future: Future[BackupTrial],
) -> Future[RollbackFacts | None]:
    """Production is switched to the new version and back to the backup; None without a new version."""

    def switch() -> RollbackFacts | None:
        version = version_future.result()
        if version.published is None:
            return None
        return backups.try_rollback(trials.place, version.published, backup_future.result().bundle, version.word)

    return workers.submit(trials.run, "rollback", switch)


@pytest.fixture(scope="session")
@prefetched(start_s=36, done_s=55)
def mixed_files_future(
    workers: ThreadPoolExecutor,
    trials: Trials,
    version_future: Future[VersionTrial],
    backup_future: Future[BackupTrial],
) -> Future[MixedFiles | None]:
    """Files of the backup together with one of the new version; None without a new version that has another disk."""

    def mix() -> MixedFiles | None:
        version, backup = version_future.result(), backup_future.result().bundle
        if version.published is None or not version.on_disk:
            return None
        refused = backups.mix_files(trials.place, version.published, backup)
        return MixedFiles(refused, backups.restore_on_other_disk(trials.place, version.published, backup))

    return workers.submit(trials.run, "files of two snapshots", mix)


@pytest.fixture(scope="session")
def all_trials(
    trials: Trials,
    version_future: Future[VersionTrial],
    clean_up_future: Future[CleanUpFacts],
    backup_future: Future[BackupTrial],
    troubles_future: Future[TroubleTrial],
    slim_future: Future[SlimFacts | None],
    rollback_future: Future[RollbackFacts | None],
    mixed_files_future: Future[MixedFiles | None],
) -> Trials:
    """The place after every trial has ended, as a command's end leaves it: its VMs are closed."""
    futures: list[Future[Any]] = [version_future, clean_up_future, backup_future, troubles_future]
    wait([*futures, slim_future, rollback_future, mixed_files_future])
    trials.place.fleet.close()
    trials.place.unsealed.close()
    return trials


@pytest.fixture(scope="session")
def new_version(version_future: Future[VersionTrial]) -> VersionTrial:
    """The trial of a new version. Raises SnapshotError if its validation could not judge."""
    trial = version_future.result()
    if trial.undecided:
        raise SnapshotError(f"the new version could not be validated: {trial.undecided}", "run it on a quiet host")
    return trial


@pytest.fixture(scope="session")
def clean_up(clean_up_future: Future[CleanUpFacts]) -> CleanUpFacts:
    """The trial of the clean-up."""
    return clean_up_future.result()


@pytest.fixture(scope="session")
def backup(backup_future: Future[BackupTrial]) -> BackupTrial:
    """The trial of a backup."""
    return backup_future.result()


@pytest.fixture(scope="session")
def troubles(troubles_future: Future[TroubleTrial]) -> TroubleTrial:
    """The trial of the troubleshooting."""
    return troubles_future.result()


@pytest.fixture(scope="session")
def slimmed(slim_future: Future[SlimFacts | None], new_version: VersionTrial) -> SlimFacts:
    """The trial of phase 1."""
    return _judged(slim_future, new_version, needs_disk=True)


@pytest.fixture(scope="session")
def rollback(rollback_future: Future[RollbackFacts | None], new_version: VersionTrial) -> RollbackFacts:
    """The trial of a rollback."""
    return _judged(rollback_future, new_version, needs_disk=False)


@pytest.fixture(scope="session")
def mixed_files(mixed_files_future: Future[MixedFiles | None], new_version: VersionTrial) -> MixedFiles:
    """The trial of files of two snapshots."""
    return _judged(mixed_files_future, new_version, needs_disk=True)


def _judged(future: Future[T | None], version: VersionTrial, *, needs_disk: bool) -> T:
    """The result of a trial that needs a new version, or one whose disk was changed."""
    found = future.result()
    if found is None and version.published and needs_disk:
        read_only_root()
    if found is None:
        pytest.skip("not judged: it needs a new version, and none was published (test_new_version_is_published)")
    return found


def read_only_root() -> None:
    """Skip a test that needs a guest that writes to its disk."""
    pytest.skip("not judged: the guest's root file system is read-only or shared, so it changes nothing on its disk")
