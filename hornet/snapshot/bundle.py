"""A snapshot bundle: rootfs.ext4, vm.mem and vm.snapshot, one atomic unit (guide: The Golden Rule).

Two seals detect changes. The cheap seal, checked before every restore, compares the superblock, the sizes and the stat
of each file with those recorded when the content was last verified. If only the stat differs, as after a copy to
another disk, the full seal decides: it hashes every byte. Seals detect accidents, not tampering.
"""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hornet.errors import BrokenSnapshotError, Ext4Error, SnapshotError
from hornet.foreign_file import ForeignFileError, read_json
from hornet.formats.ext4.superblock import Superblock, read_superblock
from hornet.host.artifact_store import file_sha256
from hornet.host.durable import write_file
from hornet.host.file_copy import OTHERS, PRIVATE_MODE, clone_file
from hornet.host.progress import Progress
from hornet.snapshot.manifest import FileSeal, Manifest, Origin
from hornet.spec.snapshots import SnapshotFiles

MB = 1_000_000
# Local to the host: the stat of each file when its content was last verified.
STAT_FILE = "seal.json"
MAX_STAT_BYTES = 4 << 10
# The bill of materials beside an image, beside a kernel and in a bundle (CycloneDX).
BILL_FILE = "sbom.cdx.json"
MAX_BILL_BYTES = 64 << 20
GOLDEN_RULE = (
    "the golden rule: never change rootfs.ext4 after a snapshot. Restore an intact snapshot, make the change inside "
    "the VM and take a new snapshot: hornetos new-version"
)
UNSEALED_WARNING = (
    "WARNING: seals are not checked (--no-seal). A restore on a changed disk corrupts it silently, and the results of "
    "this run prove nothing"
)


@dataclass(frozen=True)
class Bundle:
    """A snapshot's directory. names: the file names from the spec."""

    directory: Path
    names: SnapshotFiles

    @property
    def rootfs(self) -> Path:
        return self.directory / self.names.rootfs_file

    @property
    def memory(self) -> Path:
        return self.directory / self.names.memory_file

    @property
    def state(self) -> Path:
        return self.directory / self.names.state_file

    @property
    def bill(self) -> Path:
        return self.directory / BILL_FILE

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The three files, in the guide's order."""
        return self.rootfs, self.memory, self.state

    def manifest(self) -> Manifest:
        """The manifest. Raises SnapshotError if it is missing, malformed or edited."""
        return Manifest.read(self.directory)

    def copied_to(self, directory: Path) -> Bundle:
        """Copy the files into an existing directory. Raises HostError for a full disk."""
        for path in self.directory.iterdir():
            clone_file(path, directory / path.name)
        return Bundle(directory, self.names)

    def checked_copy(self, directory: Path) -> Bundle:
        """Copy the files and check every byte, so that restores of the copy only check the cheap seal.

        Unchecked, the first restore would read all of it and leave it in the page cache. Raises like check_full().
        """
        copy = self.copied_to(directory)
        copy.check_seal()
        return copy

    @property
    def open_to_others(self) -> bool:
        """Whether other users may enter the directory. The suite itself creates private ones."""
        return bool(self.directory.stat().st_mode & OTHERS)

    def check_files(self) -> None:
        """Check that the three files exist, are regular files and are not empty.

        Raises BrokenSnapshotError naming the first that is not, SnapshotError if a file cannot be examined.
        """
        for path in self.files:
            try:
                found = path.lstat()
            except FileNotFoundError:
                raise BrokenSnapshotError(
                    f"{path}: missing", "a snapshot has three files: copy the whole directory"
                ) from None
            except OSError as error:
                raise SnapshotError(f"{path}: {error.strerror}", "check the directory's permissions") from error
            if not stat.S_ISREG(found.st_mode):
                raise BrokenSnapshotError(
                    f"{path}: not a regular file (a link or a device)", "copy the file itself here"
                )
            if found.st_size == 0:
                raise BrokenSnapshotError(f"{path}: empty", "the copy was truncated: copy the snapshot again")

    def check_seal(self) -> Manifest:
        """Check the cheap seal; hashes files only if a stat differs from the recorded one. Raises like check_full()."""
        manifest = self.manifest()
        self.check_files()
        self._check_sizes(manifest)
        self._check_superblock(manifest)
        if self._stats() != self._noted_stats():
            self._check_hashes(manifest)
        return manifest

    def check_full(self, progress: Progress | None = None) -> Manifest:
        """Check the full seal: every byte of every file.

        Raises BrokenSnapshotError naming what differs, SnapshotError or Ext4Error if a file cannot be read.
        """
        manifest = self.manifest()
        self.check_files()
        self._check_sizes(manifest)
        self._check_superblock(manifest)
        self._check_hashes(manifest, progress)
        self.check_bill(manifest)
        return manifest

    def check_bill(self, manifest: Manifest) -> None:
        """Check the bill of materials, which no restore needs. Raises BrokenSnapshotError if it was changed."""
        if manifest.bill is None:
            return
        if not self.bill.is_file():
            raise BrokenSnapshotError(f"{self.bill}: missing", "copy it from where the snapshot came from")
        found = file_sha256(self.bill)
        if found != manifest.bill.sha256:
            raise BrokenSnapshotError(
                f"{self.bill}: SHA-256 {found[:12]}…, sealed {manifest.bill.sha256[:12]}…",
                "copy it from where the snapshot came from",
            )

    def seal(self, version: str, origin: Origin) -> Manifest:
        """Write the manifest of the files in their current state."""
        self.check_files()
        before = self._stats()
        manifest = Manifest.create(
            version=version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            origin=origin,
            files={path.name: FileSeal(size_bytes=path.stat().st_size, sha256=h) for path, h in self._hashes().items()},
            superblock=read_superblock(self.rootfs).raw,
            bill=_seal_of(self.bill) if self.bill.is_file() else None,
        )
        manifest.write(self.directory)
        self._note_stats(before)
        return manifest

    def _check_sizes(self, manifest: Manifest) -> None:
        for path in self.files:
            sealed = manifest.files.get(path.name)
            if sealed is None:
                raise BrokenSnapshotError(f"{path}: not in the manifest", "the manifest belongs to another snapshot")
            size = path.stat().st_size
            if size != sealed.size_bytes:
                raise BrokenSnapshotError(
                    f"{path}: {size} bytes, sealed with {sealed.size_bytes}", f"copy all of it again; {GOLDEN_RULE}"
                )

    def _check_superblock(self, manifest: Manifest) -> None:
        try:
            found, sealed = read_superblock(self.rootfs), Superblock(bytes.fromhex(manifest.superblock))
        except Ext4Error as error:
            if isinstance(error.__cause__, ForeignFileError):
                raise
            raise BrokenSnapshotError(error.message, GOLDEN_RULE) from error
        changes = found.changes_from(sealed)
        if changes:
            raise BrokenSnapshotError(
                f"{self.rootfs}: changed after the snapshot was sealed ({manifest.created}), last mounted "
                f"{found.show('mount_time')}, last written {found.show('write_time')}:\n  " + "\n  ".join(changes),
                GOLDEN_RULE,
            )

    def _check_hashes(self, manifest: Manifest, progress: Progress | None = None) -> None:
        before = self._stats()
        wrong = [
            f"{path}: SHA-256 {found[:12]}…, sealed {manifest.files[path.name].sha256[:12]}…"
            for path, found in self._hashes(progress).items()
            if found != manifest.files[path.name].sha256
        ]
        if wrong:
            raise BrokenSnapshotError(
                "content changed after the snapshot was sealed:\n  " + "\n  ".join(wrong), GOLDEN_RULE
            )
        self._note_stats(before)

    def _hashes(self, progress: Progress | None = None) -> dict[Path, str]:
        """SHA-256 of each file, in parallel: hashing releases the GIL."""
        total_bytes = sum(path.stat().st_size for path in self.files)
        done_bytes = 0

        def count(read_bytes: int) -> None:
            nonlocal done_bytes
            done_bytes += read_bytes
            if progress:
                progress.update(f"{done_bytes * 100 // total_bytes} % of {total_bytes / MB:.0f} MB")

        with ThreadPoolExecutor(len(self.files)) as pool:
            return dict(zip(self.files, pool.map(lambda path: file_sha256(path, count), self.files), strict=True))

    def _stats(self) -> dict[str, list[int]]:
        """Any write changes a file's times, and a copy has another inode number. Device numbers change at reboot."""
        found = ((path.name, path.lstat()) for path in self.files)
        return {name: [st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns] for name, st in found}

    def _noted_stats(self) -> object:
        try:
            return read_json(self.directory / STAT_FILE, MAX_STAT_BYTES, follow_links=False)
        except ForeignFileError:
            return None  # never recorded here, or damaged: the hashes decide

    def _note_stats(self, stats: dict[str, list[int]]) -> None:
        """Record the stat from before the content was read, so that a write during the read is detected."""
        try:
            write_file(self.directory / STAT_FILE, json.dumps(stats) + "\n", PRIVATE_MODE)
        except OSError:
            pass  # a read-only directory: every restore hashes the files, which is slow but correct


def _seal_of(path: Path) -> FileSeal:
    return FileSeal(size_bytes=path.stat().st_size, sha256=file_sha256(path))


def open_bundle(directory: Path, names: SnapshotFiles) -> Bundle:
    """The bundle in a directory. Raises SnapshotError if there is none, or if it cannot be read."""
    try:
        is_directory = directory.is_dir()
    except OSError as error:
        raise SnapshotError(f"{directory}: {error.strerror}", "check the path's permissions") from error
    if not is_directory:
        raise SnapshotError(f"{directory}: not a directory", "name a snapshot's directory")
    bundle = Bundle(directory.resolve(), names)
    bundle.check_files()
    return bundle
