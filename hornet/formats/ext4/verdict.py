"""Judges whether an ext4 image is sound, on a temporary copy: the image itself is only read.

The guide's `e2fsck -n` trusts the clean flag and leaves the journal out; `-fn` leaves the journal out, so that it
misses what a replay brings and calls every running VM's disk damaged. `-fy` on a copy replays the journal first, as
the kernel would, and then looks at everything (see docs/snapshots.md for how many of a set of damages each finds).
The codes of what it met tell remarks, ordinary recovery and damage apart (problems.py).
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
from hornet.formats.ext4 import problems
from hornet.formats.ext4.checker import E2fsck, newest_e2fsck
from hornet.formats.ext4.examine import REPAIRED, Examination, examine, examine_without_lost_and_found
from hornet.formats.ext4.features import unknown_features
from hornet.formats.ext4.mmp import user_of
from hornet.formats.ext4.superblock import NotExt4Error, Superblock, read_superblock
from hornet.formats.ext4.symptoms import Finding, classify
from hornet.host.file_copy import copy_into
from hornet.sandbox import Limits, confined

# A limit on e2fsck, because some damage makes it loop. A small image is judged within a minute.
TIME_LIMIT_S = 50.0
# A bit of e2fsck's exit code: it could not work.
OPERATIONAL = 8
SHOWN_MESSAGES = 5
SHOWN_LINES = 3

# Which of e2fsck's lines explain a damage that its codes have shown. A line too many confuses, and changes no verdict.
_NO_COMPLAINT = re.compile(
    rf"{problems.ORDINARY_MARK}|e2fsck \d|Pass \d|\d+/\d+ files|"
    r".*: (recovering journal|\d+/\d+ files .*|\*{3,}.*\*{3,})$|\*{3,}.*\*{3,}$|"
    # The lines after a complaint: the question whether to correct it, details, advice.
    r"([A-Z][a-z ]+\? (yes|no)|FIXED\.?|\(.*\)|Restarting e2fsck.*|or|running e2fsck with.*|filesystem\.  If the.*|"
    r"e2fsck -b \d.*|This doesn't bode well.*|e2fsck: aborted)$"
)
# Of a broken journal e2fsck replays the first part, and says so without a code (e2fsprogs: e2fsck/unix.c).
_JOURNAL_BROKEN = re.compile(r"Journal checksum error found in |Journal corrupted in ")
_CRASH = "Signal ("
_HOST_TROUBLE = re.compile(r"No space left on device|[Mm]emory allocation failed|[Cc]annot allocate memory")


@dataclass(frozen=True)
class Ext4Verdict:
    """The verdict. A file system without findings is sound, even if its journal had to be replayed.

    remarks: what is unusual and harmless. e2fsck: which one judged.
    """

    image: Path
    superblock: Superblock | None
    journal_replayed: bool
    remarks: list[str]
    findings: list[Finding]
    e2fsck: str
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
            "remarks": self.remarks,
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
            "e2fsck": self.e2fsck,
            "e2fsck_exit_code": self.e2fsck_exit_code,
            "took_s": round(self.took_s, 3),
        }


def judge_ext4(image: Path, work_directory: Path, time_limit_s: float = TIME_LIMIT_S) -> Ext4Verdict:
    """Judge an image on an unnamed copy in `work_directory`, of which nothing is left afterwards.

    Raises Ext4Error when it can't be judged: not a plain file, unreadable, not ext4, written to meanwhile, used by
    another host, features or a journal that this e2fsck can't handle, e2fsck not done within the time limit (the copy
    comes on top), no room for the copy.
    """
    began_s = time.perf_counter()
    superblock, e2fsck = _superblock(image), newest_e2fsck()
    found = _examine(image, work_directory, superblock, e2fsck, time_limit_s)
    if superblock is None and found.exit_code & OPERATIONAL:
        raise Ext4Error(f"{image}: not ext4, and it has no backup superblock", "name an ext4 image")
    messages = _damage(image, superblock, found)
    if not messages:
        _require_judged(image, superblock, e2fsck, found)
    remarks = list(dict.fromkeys(problems.REMARKS[code] for code in found.problems if code in problems.REMARKS))
    replayed = superblock is not None and superblock.needs_recovery
    took_s = time.perf_counter() - began_s
    findings = classify(messages)
    return Ext4Verdict(image, superblock, replayed, remarks, findings, str(e2fsck), found.exit_code, took_s)


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


def _require_unused(image: Path, superblock: Superblock, copy: BinaryIO, time_limit_s: float) -> None:
    """Raises Ext4Error if a host notes in the file system that it uses it, or e2fsck would wait too long for one."""
    if user := user_of(superblock, copy):
        raise Ext4Error(
            f"{image}: in use by {user}, says its multi-mount protection (feature mmp): it cannot be judged",
            "unmount it there and copy it again; if nothing uses it, run `tune2fs -f -E clear_mmp` on a copy",
        )
    if superblock.mmp_block is not None and superblock.mmp_wait_s > time_limit_s:
        raise Ext4Error(
            f"{image}: e2fsck would wait {superblock.mmp_wait_s} s for another host (feature mmp): it cannot be judged",
            f"hornetos ext4 --time-limit {superblock.mmp_wait_s + round(TIME_LIMIT_S)} {image}",
        )


def _examine(
    image: Path, work_directory: Path, superblock: Superblock | None, e2fsck: E2fsck, time_limit_s: float
) -> Examination:
    ordinary = sorted({*problems.REMARKS, *problems.recovery(superblock)})
    arguments = {"time_limit_s": time_limit_s, "command": list(e2fsck.command), "ordinary": ordinary}
    for function in (examine, examine_without_lost_and_found):
        with private_copy(image, work_directory) as copy:
            if superblock:
                _require_unused(image, superblock, copy, time_limit_s)
            # Reading every directory takes no longer than e2fsck.
            limits = Limits(time_s=2 * time_limit_s, file_bytes=os.fstat(copy.fileno()).st_size)
            copies = {"image": copy}
            found: Examination | None = confined(
                function, arguments, what=str(image), limits=limits, copies=copies, programs=e2fsck.tree
            )
        if found:
            return found
    raise AssertionError("examine_without_lost_and_found() returns something")


def _damage(image: Path, superblock: Superblock | None, found: Examination) -> list[str]:
    """Messages on all damage: e2fsck's, by the codes of what it met, and what it does not look at."""
    messages = list(found.duplicates)
    if codes := problems.damage(found.problems, superblock):
        messages += _complaints(found.output) or [f"e2fsck reports problem {code:#08x}" for code in codes]
    messages += [line for line in found.output.splitlines() if _JOURNAL_BROKEN.search(line) and line not in messages]
    if superblock and superblock.size_bytes > (file_bytes := image.stat().st_size):
        messages.append(f"truncated: the file has {file_bytes} bytes, its file system {superblock.size_bytes}")
    if superblock and superblock.error_count:
        messages.append(_noted_by_kernel(superblock))
    return messages


def _complaints(output: str) -> list[str]:
    """The lines of e2fsck that can explain a damage."""
    lines = map(str.strip, output.partition(_CRASH)[0].splitlines())
    return [line for line in lines if line and not _NO_COMPLAINT.match(line)]


def _require_judged(image: Path, superblock: Superblock | None, e2fsck: E2fsck, found: Examination) -> None:
    """Raises Ext4Error if e2fsck gave up before it had looked at everything."""
    if found.exit_code in REPAIRED and found.complete and not _HOST_TROUBLE.search(found.output):
        return
    if superblock and (unknown := unknown_features(superblock, e2fsck.version)):
        raise Ext4Error(
            f"{image}: it has features that {e2fsck} does not know: {', '.join(unknown)}",
            "install that version on this host, and judge it again",
        )
    if superblock and superblock.journal_is_elsewhere:
        raise Ext4Error(
            f"{image}: its journal is on another device, without which it cannot be judged",
            "unmount it, then give a copy an own journal: tune2fs -O ^has_journal COPY; tune2fs -j COPY",
        )
    said = " / ".join(_complaints(found.output)[-SHOWN_LINES:]) or f"exit code {found.exit_code}, without a reason"
    raise Ext4Error(f"{image}: it cannot be judged: {e2fsck} gave up: {said}", "correct that, then judge again")


def _noted_by_kernel(superblock: Superblock) -> str:
    """Damage that the kernel recorded; e2fsck -n and -fn do not show it."""
    first = f"first in {superblock.text('first_error_function')}() at {superblock.show('first_error_time')}"
    return f"{superblock.error_count} errors noted by the kernel, {first}"
