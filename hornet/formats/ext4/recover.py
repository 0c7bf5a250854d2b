"""Reads one file of a disk as the next boot would see it, from a private copy in the sandbox."""

from __future__ import annotations

import os
from pathlib import Path

from hornet.errors import Ext4Error
from hornet.formats.ext4.checker import newest_e2fsck
from hornet.formats.ext4.examine import repair
from hornet.formats.ext4.reader import Ext4Reader
from hornet.formats.ext4.verdict import TIME_LIMIT_S, private_copy
from hornet.formats.overlay_tree import image_tree
from hornet.sandbox import Limits, confined


def recovered_text(disk: Path, path: str, work_directory: Path) -> str:
    """The text of a file of a disk after its journal was replayed. Raises Ext4Error, also if there is no such file."""
    with private_copy(disk, work_directory) as copy:
        limits = Limits(time_s=2 * TIME_LIMIT_S, file_bytes=os.fstat(copy.fileno()).st_size)
        e2fsck = newest_e2fsck()
        arguments = {"path": path, "command": list(e2fsck.command)}
        copies = {"image": copy}
        return confined(read_repaired, arguments, what=str(disk), limits=limits, copies=copies, programs=e2fsck.tree)


def read_repaired(image: int, path: str, command: list[str]) -> str:
    """The confined part of recovered_text()."""
    repair(image, command, TIME_LIMIT_S)
    with Ext4Reader(image) as fs:
        text = image_tree(fs).text(path)
    if text is None:
        raise Ext4Error(f"it has no file {path}", "look at the guest's console: was it written?")
    return text
