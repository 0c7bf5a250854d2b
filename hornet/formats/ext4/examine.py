"""Examines a private copy of a file system in the sandbox: e2fsck repairs it, then libext2fs walks it.

These functions run in the worker of hornet/sandbox only: what they read may be hostile.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from hornet.errors import Ext4Error, HostError
from hornet.formats.ext4 import problems
from hornet.formats.ext4.reader import ROOT_INODE, Ext4Reader
from hornet.formats.overlay_tree import has_compressed_usr, image_tree
from hornet.formats.squashfs import SquashfsError
from hornet.host.environment import FIXED_LOCALE

# e2fsck: 1 and 2 mean that it repaired something, which is normal if a VM was not shut down.
REPAIRED = (0, 1, 2, 3)
UNCORRECTED = 4
# More complaints do not change the verdict.
MAX_OUTPUT_BYTES = 4 << 20
CHUNK_BYTES = 1 << 16
SHOWN_CHARACTERS = 300
SHOWN_DUPLICATES = 100


class Examination(NamedTuple):
    """Result of e2fsck and of the walk.

    exit_code: of e2fsck, negative for the signal that ended it. problems: the codes of what it met (problems.py);
    complete: whether its log of them is. output: its words. duplicates: messages on what e2fsck misses: names that
    occur twice, a damaged compressed /usr.
    """

    exit_code: int
    problems: list[int]
    complete: bool
    output: str
    duplicates: list[str]


def examine(image: int, command: list[str], time_limit_s: float, ordinary: list[int]) -> Examination | None:
    """Repair the copy, then search for what e2fsck misses: names that occur twice in a directory.

    command: how e2fsck is started; ordinary: the codes that are not damage. Returns None if e2fsck found nothing else
    and crashed because /lost+found is missing: then use examine_without_lost_and_found() on another copy. Raises
    Ext4Error if e2fsck exceeds the time limit.
    """
    exit_code, output, log = run_e2fsck(image, [*command, "-fy"], time_limit_s)
    codes, complete = problems.parse_log(log), problems.LOG_END in log
    if problems.ends_at_lost_and_found(log) and not set(codes) - set(ordinary):
        return None
    return Examination(exit_code, codes, complete, output, _walked(image, exit_code))


def examine_without_lost_and_found(
    image: int, command: list[str], time_limit_s: float, ordinary: list[int]
) -> Examination:
    """The same for a file system without /lost+found: replay the journal, then look without the log and change nothing.

    The exit code of `e2fsck -fn` alone then says whether there is any damage.
    """
    replayed, output, log = run_e2fsck(image, [*command, "-y", "-E", "journal_only"], time_limit_s)
    codes = problems.parse_log(log)
    if replayed not in REPAIRED:
        return Examination(replayed, codes, problems.LOG_END in log, output, [])
    exit_code, more, _ = run_e2fsck(image, [*command, "-fn"], time_limit_s, ordinary)
    codes += [problems.NO_LOST_AND_FOUND, *([problems.WITHOUT_CODE] if exit_code == UNCORRECTED else [])]
    return Examination(exit_code, codes, True, output + more, _walked(image, exit_code))


def _walked(image: int, exit_code: int) -> list[str]:
    if exit_code not in REPAIRED:
        return []
    with Ext4Reader(image) as fs:
        return list(duplicate_names(fs))[:SHOWN_DUPLICATES] or list(layer_damage(fs))


def layer_damage(fs: Ext4Reader) -> Iterator[str]:
    """A message on a compressed /usr that is truncated, damaged or not one."""
    if not has_compressed_usr(fs):
        return
    try:
        image_tree(fs)
    except SquashfsError as error:
        yield f"compressed /usr: {error.message}"


def repair(image: int, command: list[str], time_limit_s: float) -> None:
    """Repair the copy, or raise Ext4Error: an unrepaired file system cannot be walked safely."""
    exit_code, output, _ = run_e2fsck(image, [*command, "-fy"], time_limit_s, ordinary=[])
    if exit_code not in REPAIRED:
        raise Ext4Error(f"e2fsck cannot repair it: {output.strip()[-SHOWN_CHARACTERS:]}", "take another copy of it")


def run_e2fsck(
    image: int, argv: list[str], time_limit_s: float, ordinary: list[int] | None = None
) -> tuple[int, str, str]:
    """Run e2fsck on the copy: exit code (negative: a signal), output, and its log of problems; endless output is cut.

    ordinary: instead of a log, the codes that leave the exit code of `e2fsck -n` at 0. Raises Ext4Error beyond the time
    limit.
    """
    with tempfile.TemporaryDirectory() as scratch:
        log, config = Path(scratch, "problems.xml"), Path(scratch, "e2fsck.conf")
        config.write_text(problems.config(None if ordinary is not None else str(log), ordinary or []))
        environment = {**os.environ, **FIXED_LOCALE, "E2FSCK_CONFIG": str(config)}
        exit_code, output = _output_of([*argv, path_of(image)], image, environment, time_limit_s)
        return exit_code, output, log.read_text(errors="replace") if log.exists() else ""


def _output_of(argv: list[str], image: int, environment: Mapping[str, str], time_limit_s: float) -> tuple[int, str]:
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[image],
            env=environment,
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
    process.wait()
    raise Ext4Error(f"e2fsck timed out after {time_limit_s:g} s", "raise --time-limit")


def path_of(image: int) -> str:
    """How e2fsck is given the copy, which has no name."""
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
