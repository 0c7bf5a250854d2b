"""Make a new version of a snapshot (guide: SOP 1). A disk that belongs to a snapshot must not be changed otherwise.

The old version is restored, a script changes it inside the running VM, and the result is snapshotted, validated and
published.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hornet.errors import SnapshotError
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.procedures.validate import Step, file_steps, guest_steps
from hornet.snapshot import Bundle
from hornet.spec.snapshots import SnapshotFiles
from hornet.vm.fleet import VM, Fleet
from hornet.vm.guest_script import Result
from hornet.vm.snapshotting import origin_of_child, take_snapshot

VERSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Change:
    """A script that runs as root in the guest, and its timeout."""

    script: str
    timeout_s: float


@dataclass(frozen=True)
class Watcher:
    """Callbacks for progress: the script's output, then each step of the validation."""

    script_ended: Callable[[Result], None]
    judged: Callable[[Step], None]


@dataclass(frozen=True)
class NewVersion:
    """The outcome. published: the new snapshot, or None if the script or the validation failed.

    exit_code: of the script. not_passed: the steps of the validation that did not pass.
    """

    exit_code: int
    not_passed: list[Step]
    published: Bundle | None


class _NotValidError(SnapshotError):
    """Prevents publishing a snapshot."""


def check_version_name(workspace: Workspace, names: SnapshotFiles, version: str) -> None:
    """Raises SnapshotError for an invalid version name, or one that is already taken."""
    if not VERSION_NAME.fullmatch(version) or version == names.production_link:
        raise SnapshotError(
            f"{version!r} is not a valid version name", "use letters, digits, dots, dashes: hornetos-v1.1"
        )
    if (workspace.snapshots / version).exists():
        raise SnapshotError(f"{version}: already exists", "choose another version name: snapshots never change")


def make_new_version(
    fleet: Fleet, old: Bundle, version: str, change: Change, *, egress: bool, progress: Progress, watcher: Watcher
) -> NewVersion:
    """Restore `old`, run the change in the VM, snapshot it, validate the snapshot, publish it as `version`.

    egress: whether the fleet's network reaches the Internet, so that the validation tests this too. Raises
    SnapshotError, VMError, GuestError, BrokenSnapshotError. After an error nothing is published.
    """
    check_version_name(fleet.workspace, fleet.spec.snapshot, version)
    with progress.step("new version", f"restoring {old.directory.name}"):
        vm = fleet.restore(old, snapshottable=True)
    with progress.step("new version", "running the script in the VM"):
        result = vm.guest.run(change.script, change.timeout_s)
    watcher.script_ended(result)
    if result.exit_code != 0:
        fleet.remove(vm)
        return NewVersion(result.exit_code, [], None)
    progress.say("new version: taking the snapshot and validating it …")
    not_passed: list[Step] = []

    def validate(child: Bundle) -> None:
        not_passed.extend(_failures(fleet, vm, child, egress=egress, progress=progress, watcher=watcher))
        if not_passed:
            raise _NotValidError(f"{version} is not valid")

    try:
        published = take_snapshot(
            vm,
            fleet.workspace,
            fleet.spec,
            version=version,
            origin=origin_of_child(vm, fleet.spec),
            before_publishing=validate,
        )
    except _NotValidError:
        return NewVersion(result.exit_code, not_passed, None)
    return NewVersion(result.exit_code, [], published)


def _failures(fleet: Fleet, vm: VM, child: Bundle, *, egress: bool, progress: Progress, watcher: Watcher) -> list[Step]:
    """The validation steps that the still unnamed snapshot does not pass."""
    fleet.remove(vm)
    not_passed = []
    for steps in (
        file_steps(child.directory, fleet.spec, fleet.workspace, full=False, progress=progress),
        guest_steps(child, fleet, egress=egress),
    ):
        for step in steps:
            watcher.judged(step)
            not_passed += [step] if step.verdict != "PASS" else []
    if not not_passed:
        # The restored VM used a disk of its own, so the new snapshot must be unchanged.
        with progress.step("full seal", "reading every byte before publishing"):
            child.check_full(progress)
    return not_passed
