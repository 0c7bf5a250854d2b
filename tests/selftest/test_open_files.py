"""A restored VMM that opened another disk than its own is detected before its guest runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hornet.errors import HostError, SnapshotError
from hornet.vmm.open_files import check_own_disk

OPEN_ALL = (
    "import sys; files = [open(p, m) for p, m in zip(sys.argv[1::2], sys.argv[2::2])]; print(flush=True); input()"
)
Opened = Callable[..., int]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "vm1").mkdir()
    (tmp_path / "original").mkdir()
    (tmp_path / "original" / "rootfs.ext4").write_bytes(b"original")
    (tmp_path / "vm1" / "rootfs.ext4").write_bytes(b"copy")
    return tmp_path / "vm1" / "rootfs.ext4"


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Starts a process that opens files, each given with its mode; returns its id."""
    with ExitStack() as stack:

        def start(*paths_and_modes: Path | str) -> int:
            argv = [sys.executable, "-c", OPEN_ALL, *map(str, paths_and_modes)]
            process = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout
            process.stdout.readline()
            return process.pid

        yield start


def test_own_disk_and_log_are_accepted(disk: Path, opened: Opened) -> None:
    original = disk.parents[1] / "original" / "rootfs.ext4"
    check_own_disk(opened(disk, "r+b", disk.with_name("vmm.log"), "ab", original, "rb"), disk)


def test_original_opened_for_writing_is_rejected(disk: Path, opened: Opened) -> None:
    original = disk.parents[1] / "original" / "rootfs.ext4"
    with pytest.raises(SnapshotError, match=r"has opened \S*original/rootfs\.ext4 for writing"):
        check_own_disk(opened(disk, "r+b", original, "r+b"), disk)


def test_disk_that_is_not_open_is_rejected(disk: Path, opened: Opened) -> None:
    with pytest.raises(SnapshotError, match="has not opened"):
        check_own_disk(opened(disk.with_name("vmm.log"), "ab"), disk)


def test_disk_opened_for_reading_only_is_rejected(disk: Path, opened: Opened) -> None:
    with pytest.raises(SnapshotError, match="has not opened"):
        check_own_disk(opened(disk, "rb"), disk)


def test_ended_process_is_an_error(disk: Path) -> None:
    with pytest.raises(HostError, match="can't be read"):
        check_own_disk(1 << 22, disk)
