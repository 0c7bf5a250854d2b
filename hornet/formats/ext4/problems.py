"""What e2fsck reports by number: which of its problems are remarks, which an ordinary recovery; any other is damage.

e2fsck writes a log in XML with the code of each problem that it meets (e2fsck.conf(5): problem_log_filename). The codes
are stable and the same in every language (e2fsprogs: e2fsck/problem.h). Its sentences are shown, never judged.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from hornet.formats.ext4.superblock import Superblock

NO_LOST_AND_FOUND = 0x030004
# Says nothing about the files: a mount works, and nobody misses anything.
REMARKS = {
    0x000009: "it has no UUID",
    0x00002D: "the superblock has no backup of the journal's place",
    0x000028: "its journal is a visible file",
    0x000031: "its last mount is in the future",
    0x000032: "its last change is in the future",
    0x00003C: "its last mount is in the future",
    0x00003D: "its last change is in the future",
    0x000033: "the superblock's hint for an external journal is old",
    0x000034: "it has no hint for the hash of directories",
    0x00003B: "it is marked as a test of ext4",
    0x000041: "its quota files are visible",
    0x010064: "its quota files are visible",
    0x010082: "files have times before 1970 that are stored as later than 2310",
    0x014001: "files could be stored in fewer blocks, for which there is no room",
    0x014002: "files could be stored in fewer blocks",
    0x014003: "files could be stored in fewer blocks",
    0x014004: "files could be stored in fewer blocks",
    0x014006: "files could be stored in fewer blocks",
    0x014007: "files could be stored in fewer blocks",
    NO_LOST_AND_FOUND: "it has no /lost+found",
    0x031001: "directories could be stored in fewer blocks, for which there is no room",
    0x031002: "directories could be stored in fewer blocks, for which there is no room",
    0x031003: "directories could be stored in fewer blocks",
    0x031004: "directories could be stored in fewer blocks",
    0x031005: "directories could be stored in fewer blocks",
    # mkfs -d and tune2fs leave that to the first mount with quotas or to e2fsck.
    0x060002: "its quota accounting is old",
    # tune2fs -O ^has_journal leaves it.
    0x060007: "it has an orphan file and no journal",
}
# A file was deleted while it was open: the next mount frees it.
_ORPHAN_CLEARED = 0x000020
# The orphan file was in use. e2fsck 1.47.0 frees the inodes that it names, and then finds the file unclean itself.
_ORPHAN_FILE_IN_USE = frozenset({0x06000C, 0x06000D})
# The superblock's totals: the kernel writes them when it unmounts, and computes them when it mounts.
_TOTALS = frozenset({0x00003F, 0x000040, 0x05000D, 0x05000F})
# Without a journal nothing lists the deleted files that are open: their inodes and blocks count as in use until the
# next e2fsck, and no file misses anything. The opposite, in use and not marked so, is damage.
_LEAKS = frozenset(
    {0x010004, 0x050003, 0x050004, 0x050006, 0x050007, 0x050008, 0x05000A, 0x05000B, 0x05000E, 0x050014, 0x050016}
)
# The journal is elsewhere, or of a format that this e2fsck does not know: then it ends there.
_CANNOT_BE_READ = frozenset({0x000010, 0x000011, 0x000014, 0x000025, 0x000026, 0x000027})
# How e2fsck's sentence about a problem that is no damage begins in its output, by config().
ORDINARY_MARK = "hornetos-ordinary"
# Enough for every kind of damage; the log has its place in a small tmpfs.
MAX_PER_PROBLEM = 500

_PROBLEM = re.compile(r'<(?:problem|suppressed) code="0x([0-9a-f]{1,8})"')
LOG_END = "</problem_log>"
# What `e2fsck -n` finds has no code without a log.
WITHOUT_CODE = 0


def config(log_path: str | None, ordinary: Collection[int] = ()) -> str:
    """The e2fsck.conf that makes it write the log to this path, and mark the sentences that are no complaints.

    ordinary: codes that leave the exit code of `e2fsck -n` at 0.
    """
    relations = {code: [f'description = "{ORDINARY_MARK} "'] for code in (*REMARKS, _ORPHAN_CLEARED)}
    for code in ordinary:
        relations.setdefault(code, []).append("no_ok = true")
    lines = ["[options]", f"max_count_problems = {MAX_PER_PROBLEM}"]
    lines += [f"problem_log_filename = {log_path}"] if log_path else []
    lines += ["[problems]"]
    for code, values in relations.items():
        lines += [f"0x{code:06x} = {{", *values, "}"]
    return "\n".join([*lines, ""])


def parse_log(text: str) -> list[int]:
    """The codes of a problem log, each once, in order."""
    return list(dict.fromkeys(int(code, 16) for code in _PROBLEM.findall(text)))


def ends_at_lost_and_found(log: str) -> bool:
    """Whether e2fsck crashed as it noted that there is no /lost+found: every version so far does.

    It calls fix_problem() without a context there, and the log wants one (e2fsprogs: e2fsck/pass3.c).
    """
    return LOG_END not in log and parse_log(log)[-1:] == [NO_LOST_AND_FOUND]


def recovery(superblock: Superblock | None) -> set[int]:
    """The problems that are ordinary for a file system that was copied while it was mounted, as this one was."""
    found = {_ORPHAN_CLEARED}
    if superblock and superblock.orphan_file_in_use:
        found |= _ORPHAN_FILE_IN_USE
    if superblock and superblock.was_in_use:
        found |= _TOTALS if superblock.has_journal else _TOTALS | _LEAKS
    return found


def damage(codes: Collection[int], superblock: Superblock | None) -> list[int]:
    """The codes that mean damage: all that are neither remark nor recovery."""
    known = {*REMARKS, *_CANNOT_BE_READ, *recovery(superblock)}
    return [code for code in codes if code not in known]
