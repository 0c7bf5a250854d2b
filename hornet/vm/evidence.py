"""Keeps what tells why a VM failed: its console and the log of its VMM outlive its directory."""

from __future__ import annotations

import shutil
from pathlib import Path

from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE

# Each is bounded where it is written (hornet/vmm/transcript.py).
FILES = ("console.log", "vmm.log", "vm.json")
# Directories of one run: a fault that hits every test must not fill the disk.
MAX_KEPT = 50


def keep_evidence(vm_directory: Path, kept: Path, name: str) -> Path | None:
    """Copy console, log and state of a VM to a new directory in `kept`; returns it.

    A console may show secrets of the guest, so only its owner can read the copy. None if there is nothing to keep,
    or if `kept` holds MAX_KEPT directories already.
    """
    files = [vm_directory / file for file in FILES if (vm_directory / file).is_file()]
    if not files:
        return None
    kept.mkdir(PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
    taken = len(list(kept.iterdir()))
    if taken >= MAX_KEPT:
        return None
    target = kept / f"{taken + 1:02d}-{name}"
    target.mkdir(PRIVATE_DIRECTORY_MODE)
    for file in files:
        shutil.copy(file, target / file.name)  # with its mode
    return target
