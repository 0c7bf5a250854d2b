"""Tries the backup (phase 1, step 0), SOP 3, and what the golden rule forbids: files of two snapshots in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hornet.checks.procedures import RollbackFacts
from hornet.errors import BrokenSnapshotError
from hornet.formats.ext4.symptoms import log_symptoms
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.artifact_store import file_sha256
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE, clone_file
from hornet.host.owned import work_directory
from hornet.procedures.adopt import Provenance, adopt, judge_before_adopting
from hornet.procedures.rollback import roll_back
from hornet.procedures.trials.place import TIMEOUT_S, TrialPlace, words_in
from hornet.snapshot import Bundle, open_bundle, production
from hornet.snapshot.manifest import MANIFEST_FILE
from hornet.vm.fleet import VM
from hornet.vmm.registry import lane_named

VERSION = "backup"
# Allocates inodes and blocks in several directories, as a program that knows nothing of another disk does.
WORK = """
for d in / /root /etc /opt /usr /var; do
    mkdir -p $d/.hornetos-work
    head -c 50000 /dev/urandom >$d/.hornetos-work/file
done 2>&1
sync
rm -rf /.hornetos-work /*/.hornetos-work
sync
dmesg
"""


@dataclass(frozen=True)
class BackupTrial:
    """A backup that was adopted. files: the SHA-256 of each file by name; of_subject: the same of the snapshot."""

    bundle: Bundle
    files: Mapping[str, str]
    of_subject: Mapping[str, str]


def back_up(place: TrialPlace) -> BackupTrial:
    """Copy the three files, without the manifest, and adopt the copy.

    Raises HostError, SnapshotError, and BrokenSnapshotError for a damaged file system.
    """
    subject, origin = place.subject, place.subject.manifest().origin
    directory = place.home.snapshots / VERSION
    directory.mkdir(PRIVATE_DIRECTORY_MODE)
    for path in subject.files:
        clone_file(path, directory / path.name)
    bundle = open_bundle(directory, subject.names)
    if findings := judge_before_adopting(bundle, place.home).findings:
        raise BrokenSnapshotError("the backup's file system is damaged:\n  " + "\n  ".join(map(str, findings)))
    lane = lane_named(origin.lane)
    provenance = Provenance(lane, origin.tier, origin.vcpus, origin.vmm_version, frozen=origin.frozen)
    adopt(bundle, provenance, place.fleet.spec, place.progress)
    files = {name: seal.sha256 for name, seal in bundle.manifest().files.items()}
    of_subject = {path.name: file_sha256(path) for path in subject.files}
    return BackupTrial(bundle, files, of_subject)


def try_rollback(place: TrialPlace, new: Bundle, backup: Bundle, word: str) -> RollbackFacts:
    """Switch production to the new version and back to the backup; restore a VM from production each time."""
    versions, used, seen = [new.directory.name, backup.directory.name], [], []
    for version in versions:
        roll_back(place.home, place.subject.names, version, place.progress)
        directory = production(place.home, place.subject.names)
        used.append(directory.name if directory else "nothing")
        vm = place.fleet.restore(open_bundle(directory or backup.directory, place.subject.names))
        try:
            seen.append(words_in(vm))
        finally:
            place.fleet.remove(vm)
    return RollbackFacts(word, versions, used, seen)


def mix_files(place: TrialPlace, new: Bundle, backup: Bundle) -> dict[str, str]:
    """Restore the backup with each file of the new version in turn; the reason of each refusal by file, "" without."""
    refused = {}
    for file in (path.name for path in place.subject.files):
        with work_directory(place.home.run, "mixture", PRIVATE_DIRECTORY_MODE) as directory:
            mixed = _mixture(Bundle(directory, backup.names), new, backup, file)
            try:
                place.fleet.remove(place.fleet.restore(mixed))
                refused[file] = ""
            except BrokenSnapshotError as error:
                refused[file] = error.message
    return refused


def restore_on_other_disk(place: TrialPlace, new: Bundle, backup: Bundle) -> list[str]:
    """Restore the backup on the new version's disk, without seals, and let the guest write: the damage that follows."""
    with work_directory(place.home.run, "mixture", PRIVATE_DIRECTORY_MODE) as directory:
        mixed = _mixture(Bundle(directory, backup.names), new, backup, backup.names.rootfs_file)
        vm = place.unsealed.restore(mixed)
        try:
            return _damage_after_work(place, vm)
        finally:
            place.unsealed.remove(vm)


def _damage_after_work(place: TrialPlace, vm: VM) -> list[str]:
    said = vm.guest.run(WORK, TIMEOUT_S).stdout
    vm.vmm.pause()
    found = [str(symptom) for symptom in log_symptoms(said)]
    return found + [str(finding) for finding in judge_ext4(vm.disk, place.home.run).findings]


def _mixture(mixed: Bundle, new: Bundle, backup: Bundle, file: str) -> Bundle:
    """The backup's files under one roof with one of the new version."""
    for path in (*backup.files, backup.directory / MANIFEST_FILE):
        source = new.directory / path.name if path.name == file else path
        clone_file(source, mixed.directory / path.name)
    return mixed
