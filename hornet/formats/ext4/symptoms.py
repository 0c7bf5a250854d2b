"""What messages of e2fsck and of the kernel say about a file system: what happened, and what to do.

The guide's four symptoms are among them (The Golden Rule, Error Symptoms of Violation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

REPLACE = (
    "don't repair it: a repair changes the disk under the snapshot's memory once more. Throw this copy away, go back "
    "to an intact snapshot (hornetos rollback VERSION), and make changes inside a VM (hornetos new-version)"
)
COPY_AGAIN = "copy the whole file again, and compare its SHA-256 with that of the source"
CHECK_THE_HOST = "check the host's disk and its log for I/O errors, then copy the file again from a good source"


@dataclass(frozen=True)
class Rule:
    """A kind of damage: how its messages look (searched, any case), what it means, what to do."""

    kind: str
    pattern: str
    meaning: str
    remedy: str = REPLACE


# The first rule that matches decides, so the special ones stand before the general ones.
RULES = (
    Rule(
        "deleted inode referenced",
        r"deleted inode referenced|has deleted/unused inode|deleted inode \d+ has zero dtime",
        "a directory names a file whose inode is gone: files were removed behind the back of whoever had it mounted",
    ),
    Rule(
        "blocks claimed twice",
        r"multiply.claimed|shared with|claimed by more than one|\(inode #\d+, mod time",
        "two files own the same blocks: two writers with different ideas of what is free, as when a snapshot's memory "
        "goes on over a changed disk",
    ),
    Rule(
        "inode bitmap wrong",
        r"inode bitmap",
        "the map of used inodes does not fit the inodes: someone else made or removed files meanwhile",
    ),
    Rule(
        "block bitmap wrong",
        r"block bitmap|bitmaps? .*checksum|padding at end of",
        "the map of used blocks does not fit the files: someone else wrote or removed files meanwhile",
    ),
    Rule(
        "free counts wrong",
        r"(free (inodes|blocks)|directories) count wrong",
        "the counts of free inodes and blocks do not fit the bitmaps: the disk was changed outside the running VM",
    ),
    Rule(
        "lost writes",
        r"delayed block allocation failed|data will be lost|lost (async|sync) page write",
        "the kernel could not write data that programs believe to be saved: that data is gone",
    ),
    Rule(
        "cut off",
        r"physical size of the device|truncated",
        "the file is shorter than the file system in it: the copy was cut off",
        COPY_AGAIN,
    ),
    Rule(
        "can't be read",
        r"input/output error|error reading block|short read|attempt to read block",
        "part of the file can't be read",
        CHECK_THE_HOST,
    ),
    Rule(
        "errors noted by the kernel",
        r"file system with errors|error count since last fsck|(initial|last) error at time|noted by the kernel",
        "a kernel met damage while it had this file system mounted, and left a note in the superblock",
    ),
    Rule(
        "journal broken",
        r"journal|jbd2|transaction",
        "the journal can't be replayed as it is: the last changes before the snapshot are lost or half done",
    ),
    Rule(
        "superblock or groups broken",
        r"super-?block|group descriptor|bad magic|block group|primary .* differs|resize inode|check_desc|bitmap block",
        "the description of the file system itself was overwritten",
    ),
    Rule(
        "directory broken",
        r"directory|htree|\bentry '|'\.\.?' (in|is|entry)|missing '\.|dirent|filetype|lost\+found",
        "a directory's content was overwritten, or belongs to another state of the disk",
    ),
    Rule(
        "link counts wrong",
        r"ref count|unattached|unconnected|not connected|link count",
        "files that no directory names, or that too many do: directories and inodes are of different times",
    ),
    Rule(
        "checksum wrong",
        r"checksum|csum",
        "a structure does not match its checksum: something wrote over it without knowing",
    ),
    Rule(
        "inode broken",
        r"\binodes? |extent|illegal block|i_size|i_blocks|bad mode|extra_isize|xattr|extended attribute|acl",
        "an inode's content was overwritten",
    ),
    Rule(
        "structure needs cleaning",
        r"structure needs cleaning|error -?117|EUCLEAN",
        "the kernel refused a structure that makes no sense: the disk is not the one that its memory knows",
    ),
    Rule(
        "read-only",
        r"remounting filesystem read-only|aborting|forced readonly",
        "the kernel stopped writing to save what is left",
    ),
)
OTHER = Rule("other", "", "a complaint that this suite does not know", REPLACE)
_PATTERNS = [(rule, re.compile(rule.pattern, re.IGNORECASE)) for rule in RULES]

# Lines of a kernel log or a console that are about ext4 at all.
_LOG_LINE = re.compile(r"EXT4-fs|JBD2|structure needs cleaning", re.IGNORECASE)
# What the kernel says when all is well.
_LOG_BENIGN = re.compile(
    r"mounted filesystem|re-mounted|unmounting filesystem|recovery complete|orphan cleanup|recovery required|"
    r"write access will be enabled|INFO: recovery",
    re.IGNORECASE,
)


@dataclass
class Finding:
    """Messages of one kind, in the order they came."""

    rule: Rule
    messages: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        more = f" (and {len(self.messages) - 1} more)" if len(self.messages) > 1 else ""
        return f"{self.rule.kind}: {self.rule.meaning}: {self.messages[0]!r}{more}"


def rule_for(message: str) -> Rule:
    """The kind that a message belongs to; OTHER if none knows it."""
    return next((rule for rule, pattern in _PATTERNS if pattern.search(message)), OTHER)


def classify(messages: Iterable[str]) -> list[Finding]:
    """Messages by kind, the kinds in the order of their first message."""
    found: dict[str, Finding] = {}
    for message in messages:
        rule = rule_for(message)
        found.setdefault(rule.kind, Finding(rule)).messages.append(message)
    return list(found.values())


def log_symptoms(log: str) -> list[Finding]:
    """What a guest's kernel log or console says about damage to ext4; ordinary lines about mounts do not count."""
    lines = (line.strip() for line in log.splitlines())
    return classify(line for line in lines if _LOG_LINE.search(line) and not _LOG_BENIGN.search(line))
