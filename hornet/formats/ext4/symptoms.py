"""Classifies messages of e2fsck and of the kernel: the kind of damage, its meaning and the remedy.

The guide's four symptoms are among them (The Golden Rule, Error Symptoms of Violation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

REPLACE = (
    "do not repair it: a repair changes the disk under the snapshot's memory again. Delete this copy, go back "
    "to an intact snapshot (hornetos rollback VERSION), and make changes inside a VM (hornetos new-version)"
)
COPY_AGAIN = "copy the whole file again, and compare its SHA-256 with that of the source"
CHECK_THE_HOST = "check the host's disk and its log for I/O errors, then copy the file again from a good source"


@dataclass(frozen=True)
class Rule:
    """A kind of damage. pattern: searched in messages, ignoring case. meaning, remedy: sentences for the user."""

    kind: str
    pattern: str
    meaning: str
    remedy: str = REPLACE


# The first rule that matches decides, so special rules come before general ones.
RULES = (
    Rule(
        "deleted inode referenced",
        r"deleted inode referenced|has deleted/unused inode|deleted inode \d+ has zero dtime",
        "a directory names a file whose inode is deleted: files were removed outside the running VM",
    ),
    Rule(
        "blocks claimed twice",
        r"multiply.claimed|shared with|claimed by more than one|\(inode #\d+, mod time",
        "two files own the same blocks: two writers allocated independently, as when a snapshot's memory is restored "
        "on a changed disk",
    ),
    Rule(
        "inode bitmap wrong",
        r"inode bitmap",
        "the inode bitmap does not match the inodes: files were created or removed outside the running VM",
    ),
    Rule(
        "block bitmap wrong",
        r"block bitmap|bitmaps? .*checksum|padding at end of",
        "the block bitmap does not match the files: files were written or removed outside the running VM",
    ),
    Rule(
        "free counts wrong",
        r"(free (inodes|blocks)|directories) count wrong",
        "the counts of free inodes and blocks do not match the bitmaps: the disk was changed outside the running VM",
    ),
    Rule(
        "lost writes",
        r"delayed block allocation failed|data will be lost|lost (async|sync) page write",
        "the kernel could not write data that programs consider saved: that data is lost",
    ),
    Rule(
        "compressed /usr damaged",
        r"^compressed /usr: ",
        "the file with the compressed /usr is not the one that was built",
        "build the image again, or copy it again from a good source",
    ),
    Rule(
        "truncated",
        r"physical size of the device|truncated",
        "the file is shorter than the file system in it: the copy was truncated",
        COPY_AGAIN,
    ),
    Rule(
        "can't be read",
        r"input/output error|error reading block|short read|attempt to read block",
        "part of the file cannot be read",
        CHECK_THE_HOST,
    ),
    Rule(
        "errors noted by the kernel",
        r"file system with errors|error count since last fsck|(initial|last) error at time|noted by the kernel",
        "a kernel found damage while this file system was mounted, and recorded it in the superblock",
    ),
    Rule(
        "journal broken",
        r"journal|jbd2|transaction",
        "the journal cannot be replayed: the last changes before the snapshot are lost or incomplete",
    ),
    Rule(
        "superblock or groups broken",
        r"super-?block|group descriptor|bad magic|block group|primary .* differs|resize inode|check_desc|bitmap block",
        "the file system's own metadata was overwritten",
    ),
    Rule(
        "directory broken",
        r"directory|htree|\bentry '|'\.\.?' (in|is|entry)|missing '\.|dirent|filetype|lost\+found",
        "a directory's content was overwritten, or belongs to another state of the disk",
    ),
    Rule(
        "link counts wrong",
        r"ref count|unattached|unconnected|not connected|link count",
        "files in no directory, or in too many: directories and inodes are from different times",
    ),
    Rule(
        "checksum wrong",
        r"checksum|csum",
        "a structure does not match its checksum: something overwrote it",
    ),
    Rule(
        "inode broken",
        r"\binodes? |extent|illegal block|i_size|i_blocks|bad mode|extra_isize|xattr|extended attribute|acl",
        "an inode's content was overwritten",
    ),
    Rule(
        "structure needs cleaning",
        r"structure needs cleaning|error -?117|EUCLEAN",
        "the kernel rejected an invalid structure: the disk is not the one that its memory caches",
    ),
    Rule(
        "read-only",
        r"remounting filesystem read-only|aborting|forced readonly",
        "the kernel stopped writing to prevent further damage",
    ),
)
OTHER = Rule("other", "", "a message that this suite does not know", REPLACE)
_PATTERNS = [(rule, re.compile(rule.pattern, re.IGNORECASE)) for rule in RULES]

# Lines of a kernel log or a console that concern ext4.
_LOG_LINE = re.compile(r"EXT4-fs|JBD2|structure needs cleaning", re.IGNORECASE)
# Normal messages of the kernel.
_LOG_BENIGN = re.compile(
    r"mounted filesystem|re-mounted|unmounting filesystem|recovery complete|orphan cleanup|recovery required|"
    r"write access will be enabled|INFO: recovery",
    re.IGNORECASE,
)


@dataclass
class Finding:
    """Messages of one kind, in order."""

    rule: Rule
    messages: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        more = f" (and {len(self.messages) - 1} more)" if len(self.messages) > 1 else ""
        return f"{self.rule.kind}: {self.rule.meaning}: {self.messages[0]!r}{more}"


def rule_for(message: str) -> Rule:
    """The kind of a message; OTHER if no rule matches."""
    return next((rule for rule, pattern in _PATTERNS if pattern.search(message)), OTHER)


def classify(messages: Iterable[str]) -> list[Finding]:
    """Messages by kind, the kinds in the order of their first message."""
    found: dict[str, Finding] = {}
    for message in messages:
        rule = rule_for(message)
        found.setdefault(rule.kind, Finding(rule)).messages.append(message)
    return list(found.values())


def log_symptoms(log: str) -> list[Finding]:
    """Damage to ext4 that a guest's kernel log or console reports; normal lines about mounts are ignored."""
    lines = (line.strip() for line in log.splitlines())
    return classify(line for line in lines if _LOG_LINE.search(line) and not _LOG_BENIGN.search(line))
