"""A restored VMM that opened another disk than its own is detected before its guest runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hornet.errors import HostError, SnapshotError
from hornet.vmm.open_files import check_own_disk, check_shared_root

# Maps the first file, opened in its mode, and closes it, as Firecracker does. (Python's own mmap keeps it open.) Then
# opens the others.
MAP_AND_OPEN = """
import ctypes, mmap, sys
library = ctypes.CDLL(None)
library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
with open(sys.argv[1], sys.argv[2]) as file:
    access = mmap.PROT_READ | (mmap.PROT_WRITE if sys.argv[2] == "r+b" else 0)
    library.mmap(None, 4096, access, mmap.MAP_SHARED, file.fileno(), 0)
files = [open(p, m) for p, m in zip(sys.argv[3::2], sys.argv[4::2])]
print(flush=True)
input()
"""
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
    """Starts a process that opens files, each given with its mode; returns its id. program: in place of OPEN_ALL."""
    with ExitStack() as stack:

        def start(*paths_and_modes: Path | str, program: str = OPEN_ALL) -> int:
            argv = [sys.executable, "-c", program, *map(str, paths_and_modes)]
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
    with pytest.raises(HostError, match="can't be read"):
        check_shared_root(1 << 22, disk, disk.parent)


@pytest.fixture
def root(disk: Path) -> Path:
    return disk.parents[1] / "original" / "rootfs.ext4"


def test_shared_root_mapped_for_reading_is_accepted(root: Path, disk: Path, opened: Opened) -> None:
    pid = opened(root, "rb", disk.with_name("vmm.log"), "ab", program=MAP_AND_OPEN)
    check_shared_root(pid, root, disk.parent)


def test_shared_root_mapped_for_writing_is_rejected(root: Path, disk: Path, opened: Opened) -> None:
    with pytest.raises(SnapshotError, match=r"can write it: mapped rw-s"):
        check_shared_root(opened(root, "r+b", program=MAP_AND_OPEN), root, disk.parent)


def test_shared_root_opened_for_writing_is_rejected(root: Path, disk: Path, opened: Opened) -> None:
    with pytest.raises(SnapshotError, match=r"has opened \S*original/rootfs\.ext4 for writing"):
        check_shared_root(opened(root, "rb", root, "r+b", program=MAP_AND_OPEN), root, disk.parent)


def test_other_file_as_the_shared_root_is_rejected(root: Path, disk: Path, opened: Opened) -> None:
    with pytest.raises(SnapshotError, match="does not map it"):
        check_shared_root(opened(disk, "rb", root, "rb", program=MAP_AND_OPEN), root, disk.parent)
