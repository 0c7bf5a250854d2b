"""Page faults and bytes from the disk are counted when a file is cold, and not when the page cache holds it."""

from __future__ import annotations

import mmap
import os
import subprocess
from pathlib import Path

import pytest

from hornet.errors import HostError
from hornet.host.conditions import keeps_no_cold_files
from hornet.host.page_cache import make_cold, resident_share
from hornet.host.process_cost import ProcessCost, process_cost

SIZE_MB = 8


@pytest.fixture
def file(tmp_path: Path) -> Path:
    if keeps_no_cold_files(tmp_path):
        pytest.skip("not judged: the directory of temporary files is in memory, so nothing in it is ever cold")
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE_MB * 1_000_000))
    return path


def cost_of_reading(path: Path) -> ProcessCost:
    before = process_cost(os.getpid())
    path.read_bytes()
    return process_cost(os.getpid()).since(before)


def test_only_a_cold_file_is_read_from_the_disk(file: Path) -> None:
    make_cold([file])
    assert resident_share([file]) == 0
    assert cost_of_reading(file).read_mb >= SIZE_MB
    assert cost_of_reading(file).read_mb < SIZE_MB / 10


def test_mapped_cold_file_causes_major_faults(file: Path) -> None:
    make_cold([file])
    before = process_cost(os.getpid())
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as memory:
        sum(memory[:: mmap.PAGESIZE])
    cost = process_cost(os.getpid()).since(before)
    assert cost.major_faults > 0
    assert cost.minor_faults > 0
    assert cost.read_mb >= SIZE_MB


def test_file_that_is_in_use_is_not_cold(file: Path) -> None:
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as memory:
        sum(memory[:: mmap.PAGESIZE])
        with pytest.raises(HostError, match=r"file: 100% in the page cache, expected at most 5%"):
            make_cold([file])


def test_ended_process_is_rejected() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(HostError, match="its cost can't be read"):
        process_cost(process.pid)
