"""Memory of real processes that map one file, told apart by its path, and the capacity plan that follows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hornet.capacity.at_rest import plans
from hornet.capacity.footprint import Footprint
from hornet.errors import HornetError
from hornet.results.records import Record
from hornet.spec.model import load_spec
from hornet.vm.memory import memory_split, pss_mb
from hornet_cli.app import app
from tests.support import synthetic_run as synthetic

MIB = 1 << 20
MB_PER_MIB = MIB / 1_000_000
FILE_MIB = 24
# Plays a VMM: maps the file private, reads all of it, writes the first pages, then waits for its input to end.
CLONE = """
import mmap, sys
path, dirty_mib = sys.argv[1], int(sys.argv[2])
with open(path, "r+b") as stream:
    memory = mmap.mmap(stream.fileno(), 0, flags=mmap.MAP_PRIVATE)
for offset in range(0, len(memory), 4096):
    memory[offset]
for offset in range(0, dirty_mib << 20, 4096):
    memory[offset] = 1
print("ready", flush=True)
sys.stdin.read()
"""
# The same with translated code, as an emulator has it.
EMULATOR = """
import mmap
code = mmap.mmap(-1, 32 << 20, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
for offset in range(0, len(code), 4096):
    code[offset] = 1
"""


@contextmanager
def clone(memory: Path, dirty_mib: int, program: str = CLONE) -> Iterator[int]:
    argv = [sys.executable, "-c", program, str(memory), str(dirty_mib)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.kill()


@pytest.fixture
def memory_file(tmp_path: Path) -> Path:
    path = tmp_path / "vm.mem"
    path.write_bytes(os.urandom(FILE_MIB * MIB))
    return path


def test_guest_memory_is_found_by_path_and_split_by_sharing(memory_file: Path) -> None:
    with ExitStack() as stack:
        pids = [stack.enter_context(clone(memory_file, dirty_mib)) for dirty_mib in (4, 8)]
        splits = [memory_split(pid, [memory_file]) for pid in pids]
    assert [round(split.guest_private / MB_PER_MIB) for split in splits] == [8, 8]
    total_mib = sum(split.guest_private + split.guest_shared for split in splits) / MB_PER_MIB
    # Both dirtied the first 4 MiB, one the next 4; the other then has these alone, and the last 16 are shared.
    assert total_mib == pytest.approx(4 + 8 + 4 + 16, rel=0.02)
    assert all(split.vmm_private > 1 for split in splits)


SWAPPED = {
    "private pages": ("Swap: 6000 kB\nSwapPss: 4000 kB", 4000),
    "pages of a memfd": ("Swap: 5000 kB\nSwapPss: 0 kB", 5000),
    "none": ("Swap: 0 kB\nSwapPss: 0 kB", 0),
    "a kernel without SwapPss": ("Swap: 300 kB", 300),
}


@pytest.mark.parametrize(("lines", "counted_kib"), SWAPPED.values(), ids=SWAPPED)
def test_swapped_memory_counts(
    lines: str, counted_kib: int, memory_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smaps of a real process, with pages of guest RAM swapped out: no test turns on swap on its host."""
    with clone(memory_file, 4) as pid:
        before = memory_split(pid, [memory_file])
        smaps = Path(f"/proc/{pid}/smaps").read_text()
        place = smaps.index(str(memory_file))
        swap = re.compile(r"Swap: .*\nSwapPss: .*")
        changed = smaps[:place] + swap.sub(lines, smaps[place:], count=1)
        monkeypatch.setattr(Path, "read_text", lambda *_, **__: changed)
        after = memory_split(pid, [memory_file])
    assert after.guest_private - before.guest_private == pytest.approx(counted_kib * 1024 / 1e6)
    assert after.vmm_private == pytest.approx(before.vmm_private, abs=0.2)


def test_a_deleted_file_is_still_guest_memory(memory_file: Path) -> None:
    with clone(memory_file, 4) as pid:
        memory_file.unlink()
        split = memory_split(pid, [memory_file])
    assert (split.guest_private + split.guest_shared) / MB_PER_MIB == pytest.approx(FILE_MIB, rel=0.02)


def test_what_an_emulator_has_translated_is_left_out(memory_file: Path) -> None:
    with clone(memory_file, 4) as plain_pid, clone(memory_file, 4, EMULATOR + CLONE) as pid:
        plain, emulated = (memory_split(each, [memory_file]) for each in (plain_pid, pid))
    assert emulated.vmm_private == pytest.approx(plain.vmm_private, abs=2)


def test_pss_is_the_sum_of_all_parts(memory_file: Path) -> None:
    with clone(memory_file, 4) as pid:
        parts = memory_split(pid, [memory_file]).parts_mb
        assert pss_mb(pid) == pytest.approx(sum(parts.values()), abs=0.2)


def test_unmapped_memory_file_is_rejected(memory_file: Path, tmp_path: Path) -> None:
    with clone(memory_file, 4) as pid, pytest.raises(HornetError, match=r"maps none of .*other\.mem"):
        memory_split(pid, [tmp_path / "other.mem"])


def test_a_process_that_is_gone_is_an_error(memory_file: Path) -> None:
    with clone(memory_file, 0) as pid:
        pass
    with pytest.raises(HornetError, match="cannot be read"):
        memory_split(pid, [memory_file])


def memory_record(**changes: Any) -> Record:
    facts: dict[str, Any] = {"clones": 4, "state": "idle", **changes}
    parts = {"guest_private": 5.0, "guest_shared": 9.0, "vmm_private": 14.0, "vmm_shared": 1.0}
    return Record.of_runs("ram_per_vm", [parts], unit="MB", lane="qemu/tcg", host=synthetic.HOST, dimensions=facts)


def test_shared_pages_are_counted_once_for_all() -> None:
    footprint = Footprint.of_record(memory_record())
    assert footprint == Footprint(private_mb=19.0, shared_mb=40.0)
    assert footprint.vms_in(40 + 19 * 7) == 7
    assert footprint.vms_in(40 + 19 * 7 - 0.1) == 6
    assert footprint.vms_in(30) == 0


@given(st.floats(min_value=0.1, max_value=500), st.floats(min_value=0, max_value=5000), st.floats(0, 64000))
def test_capacity_is_the_largest_number_that_fits(private_mb: float, shared_mb: float, available_mb: float) -> None:
    count = Footprint(private_mb, shared_mb).vms_in(available_mb)
    slack = 1e-6 * available_mb
    assert count == 0 or shared_mb + count * private_mb <= available_mb + slack
    assert shared_mb + (count + 1) * private_mb >= available_mb - slack


@pytest.mark.parametrize(
    "record",
    [
        memory_record().model_copy(update={"parts": {}}),
        memory_record().model_copy(update={"dimensions": {}}),
        memory_record(clones=0),
        memory_record().model_copy(update={"parts": {"guest_shared": 29.0}}),
    ],
)
def test_a_record_that_no_plan_can_be_made_from_is_named(record: Record) -> None:
    made, problems = plans(load_spec().capacity, [record])
    assert made == []
    assert len(problems) == 1
    assert "ram_per_vm" in problems[0]


def test_capacity_rejects_a_run_without_memory(tmp_path: Path) -> None:
    run = synthetic.make_run(tmp_path / "run", records=[synthetic.restore_record(seed=1)])
    result = CliRunner().invoke(app, ["capacity", str(run)])
    assert isinstance(result.exception, HornetError)
    assert "no record of memory per VM" in str(result.exception)
