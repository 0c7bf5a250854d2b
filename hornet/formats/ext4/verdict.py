"""Judges whether an ext4 image is sound, on a temporary copy: the image itself is only read.

The guide's `e2fsck -n` trusts the clean flag and leaves the journal out; `-fn` leaves the journal out, so that it
misses what a replay brings and calls every running VM's disk damaged. `-fy` on a copy replays the journal first, as
the kernel would, and then looks at everything (see docs/snapshots.md for how many of a set of damages each finds).
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hornet.errors import Ext4Error
from hornet.formats.ext4.examine import SHOWN_CHARACTERS, examine, path_of
from hornet.formats.ext4.superblock import NotExt4Error, Superblock, read_superblock
from hornet.formats.ext4.symptoms import Finding, classify
from hornet.host.file_copy import copy_into
from hornet.sandbox import Limits, confined

# A limit on e2fsck, because some damage makes it loop. A small image is judged within a minute.
TIME_LIMIT_S = 50.0
# e2fsck's exit code is a sum (e2fsck(8)): 1 corrected, 2 corrected and reboot, 4 left uncorrected, 8 operational
# error, 16 usage, 32 cancelled, 128 shared library.
UNCORRECTED = 4
OPERATIONAL = 8
NOT_A_VERDICT = 16 | 32 | 128
SHOWN_MESSAGES = 5

_ORDINARY = re.compile(
    r"e2fsck \d|Pass \d|\d+/\d+ files|\*{3,}.*\*{3,}$|"
    # A guest's clock that was ahead, and trees that could be smaller, are not damage.
    r"Superblock last (mount|write) time|now = .* is in the future|"
    r"Inode \d+ extent tree .*could be|.*could be exact value|"
    # The lines after a complaint: the question whether to correct it, details, advice.
    r"([A-Z][a-z ]+\? (yes|no)|FIXED\.?|\(.*\)|Restarting e2fsck.*|or|running e2fsck with.*|filesystem\.  If the.*|"
    r"e2fsck -b \d.*|This doesn't bode well.*|e2fsck: aborted)$"
)
RECOVERING = "recovering journal"
_RECOVERY = re.compile(
    rf"{RECOVERING}|(Clearing|Truncating) orphaned inode|(Setting )?free (inodes|blocks) count (wrong \(|to )",
    re.IGNORECASE,
)
_HOST_TROUBLE = re.compile(r"No space left on device|[Mm]emory allocation failed|[Cc]annot allocate memory")


@dataclass(frozen=True)
class Ext4Verdict:
    """The verdict. A file system without findings is sound, even if its journal had to be replayed."""

    image: Path
    superblock: Superblock | None
    journal_replayed: bool
    findings: list[Finding]
    e2fsck_exit_code: int
    took_s: float

    @property
    def sound(self) -> bool:
        return not self.findings

    def as_data(self) -> dict[str, Any]:
        """The verdict for JSON: of each kind the first messages and their number."""
        return {
            "file": str(self.image),
            "verdict": "sound" if self.sound else "damaged",
            "journal_replayed": self.journal_replayed,
            "superblock": self.superblock.as_data() if self.superblock else None,
            "findings": [
                {
                    "kind": finding.rule.kind,
                    "meaning": finding.rule.meaning,
                    "remedy": finding.rule.remedy,
                    "count": len(finding.messages),
                    "messages": finding.messages[:SHOWN_MESSAGES],
                }
                for finding in self.findings
            ],
            "e2fsck_exit_code": self.e2fsck_exit_code,
            "took_s": round(self.took_s, 3),
        }


def judge_ext4(image: Path, work_directory: Path, time_limit_s: float = TIME_LIMIT_S) -> Ext4Verdict:
    """Judge an image on an unnamed copy in `work_directory`, of which nothing is left afterwards.

    Raises Ext4Error when it can't be judged: not a plain file, unreadable, not ext4, written to meanwhile, e2fsck
    not done within the time limit (the copy comes on top), no room for the copy.
    """
    began_s = time.perf_counter()
    superblock = _superblock(image)
    with private_copy(image, work_directory) as copy:
        label = superblock.text("volume_name") if superblock else ""
        exit_code, lines, duplicates = _examine(image, copy, label, time_limit_s)
    if superblock is None and exit_code & OPERATIONAL:
        raise Ext4Error(f"{image}: not ext4, and it has no backup superblock", "name an ext4 image")
    messages = _complaints(lines) + duplicates
    if not messages and exit_code & (UNCORRECTED | OPERATIONAL):
        messages = [f"e2fsck aborted with exit code {exit_code}"]
    if superblock and superblock.error_count:
        messages.append(_noted_by_kernel(superblock))
    took_s = time.perf_counter() - began_s
    return Ext4Verdict(image, superblock, RECOVERING in lines, classify(messages), exit_code, took_s)


def _superblock(image: Path) -> Superblock | None:
    """The superblock; None if there is none at its offset: the image may have a backup."""
    try:
        return read_superblock(image)
    except NotExt4Error:
        return None


@contextmanager
def private_copy(image: Path, work_directory: Path) -> Iterator[BinaryIO]:
    """An unnamed copy of an image, to repair and to read.

    Raises Ext4Error if there is no room for it, or if the image changes during the copy.
    """
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(tempfile.TemporaryFile(dir=work_directory))
            reader = stack.enter_context(image.open("rb"))
            before = os.fstat(reader.fileno())
            copy_into(reader, copy)
            after = os.fstat(reader.fileno())
        except OSError as error:
            raise Ext4Error(
                f"{image}: no temporary copy can be made: {error.strerror}",
                "free space in HORNET_HOME, or set HORNET_HOME to another directory",
            ) from error
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise Ext4Error(f"{image}: changed during the copy", "end or pause the VM that uses it")
        yield copy


def _examine(image: Path, copy: BinaryIO, label: str, time_limit_s: float) -> tuple[int, list[str], list[str]]:
    """Exit code and lines of e2fsck without the name that it puts before some of them; what the walk found."""
    # Reading every directory takes no longer than e2fsck.
    limits = Limits(time_s=2 * time_limit_s, file_bytes=os.fstat(copy.fileno()).st_size)
    arguments = {"time_limit_s": time_limit_s}
    found = confined(examine, arguments, what=str(image), limits=limits, copies={"image": copy})
    exit_code, output, path = found.exit_code, found.output, path_of(copy.fileno())
    names = re.compile(rf"^({re.escape(path)}|{re.escape(label)}): ") if label else re.compile(rf"^{re.escape(path)}: ")
    lines = [names.sub("", line.strip()) for line in output.splitlines()]
    trouble = _HOST_TROUBLE.search(output)
    died = exit_code < 0 and not _complaints(lines)
    if trouble or died or (exit_code > 0 and exit_code & NOT_A_VERDICT):
        said = trouble[0] if trouble else f"exit code {exit_code}: {output.strip()[-SHOWN_CHARACTERS:]}"
        raise Ext4Error(f"{image}: e2fsck could not run: {said}", "correct that, then judge again")
    return exit_code, lines, found.duplicates


def _complaints(lines: list[str]) -> list[str]:
    """The lines that e2fsck does not print for a sound file system; traces of a replay are normal too."""
    ordinary = [_ORDINARY, _RECOVERY] if RECOVERING in lines else [_ORDINARY]
    return [line for line in lines if line and not any(pattern.match(line) for pattern in ordinary)]


def _noted_by_kernel(superblock: Superblock) -> str:
    """Damage that the kernel recorded; e2fsck -n and -fn do not show it."""
    first = f"first in {superblock.text('first_error_function')}() at {superblock.show('first_error_time')}"
    return f"{superblock.error_count} errors noted by the kernel, {first}"
