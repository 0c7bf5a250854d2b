"""Examines a private copy of a file system in the sandbox: e2fsck repairs it, then libext2fs walks it.

These functions run in the worker of hornet/sandbox only: what they read may be hostile.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from hornet.errors import Ext4Error, HostError
from hornet.formats.ext4.reader import ROOT_INODE, Ext4Reader

# e2fsck: 1 and 2 mean that it repaired something, which is normal if a VM was not shut down.
REPAIRED = (0, 1, 2)
# More complaints do not change the verdict.
MAX_OUTPUT_BYTES = 4 << 20
CHUNK_BYTES = 1 << 16
SHOWN_CHARACTERS = 300
SHOWN_DUPLICATES = 100


class Examination(NamedTuple):
    """Result. exit_code: of e2fsck, negative for the signal that ended it. duplicates: messages on duplicate names."""

    exit_code: int
    output: str
    duplicates: list[str]


def examine(image: int, time_limit_s: float) -> Examination:
    """Repair the copy, then search for what e2fsck misses: names that occur twice in a directory.

    Raises Ext4Error if e2fsck exceeds the time limit.
    """
    exit_code, output = run_e2fsck(image, time_limit_s)
    duplicates: list[str] = []
    if exit_code in REPAIRED:
        with Ext4Reader(image) as fs:
            duplicates = list(duplicate_names(fs))[:SHOWN_DUPLICATES]
    return Examination(exit_code, output, duplicates)


def repair(image: int, time_limit_s: float) -> None:
    """Repair the copy, or raise Ext4Error: an unrepaired file system cannot be walked safely."""
    exit_code, output = run_e2fsck(image, time_limit_s)
    if exit_code not in REPAIRED:
        raise Ext4Error(f"e2fsck cannot repair it: {output.strip()[-SHOWN_CHARACTERS:]}", "take another copy of it")


def run_e2fsck(image: int, time_limit_s: float) -> tuple[int, str]:
    """Exit code (negative: a signal) and output of `e2fsck -fy`; endless output is cut. Raises Ext4Error."""
    try:
        process = subprocess.Popen(
            ["e2fsck", "-fy", path_of(image)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[image],
        )
    except FileNotFoundError as error:
        raise HostError("e2fsck: not found", "install the package e2fsprogs") from error
    assert process.stdout is not None
    kept = bytearray()
    deadline_s = time.monotonic() + time_limit_s
    while select.select([process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        chunk = os.read(process.stdout.fileno(), CHUNK_BYTES)
        if not chunk:
            return process.wait(), kept.decode("utf-8", "replace")
        kept += chunk[: MAX_OUTPUT_BYTES - len(kept)]
    process.kill()
    raise Ext4Error(f"e2fsck timed out after {time_limit_s:g} s", "raise --time-limit")


def path_of(image: int) -> str:
    """How e2fsck is given the copy, which has no name; it begins some of its messages with this."""
    return f"/proc/self/fd/{image}"


def duplicate_names(fs: Ext4Reader) -> Iterator[str]:
    """Messages on names that stand twice in a directory: which of the two files is meant depends on who looks."""
    seen, todo = {ROOT_INODE}, [ROOT_INODE]
    while todo:
        directory = todo.pop()
        entries = fs.entries(directory)
        for name, count in Counter(entry.name for entry in entries).items():
            if count > 1:
                yield f"Entry {name.decode(errors='backslashreplace')!r} occurs {count} times in directory {directory}"
        for entry in entries:
            if entry.may_be_directory and entry.inode not in seen and fs.inode(entry.inode).is_directory:
                seen.add(entry.inode)
                todo.append(entry.inode)
