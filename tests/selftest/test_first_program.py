"""The program with which a lane is proved: it runs, and only its own end counts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hornet.errors import CommandError
from hornet.vm import first_program

PANIC = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x{code:08x}"


def test_program_exits_with_its_code(tmp_path: Path) -> None:
    path = tmp_path / "init"
    path.write_bytes(first_program.program())
    path.chmod(0o755)
    assert subprocess.run([path], timeout=20).returncode == first_program.EXIT_CODE


def test_report_is_the_kernels_line_for_that_code() -> None:
    assert re.search(first_program.REPORT, PANIC.format(code=first_program.EXIT_CODE << 8))


@pytest.mark.parametrize(
    "line",
    [
        "Run /init as init process",
        "VFS: Unable to mount root fs on unknown-block(254,0)",
        PANIC.format(code=4),  # SIGILL
        PANIC.format(code=0),
    ],
)
def test_other_lines_prove_nothing(line: str) -> None:
    assert not re.search(first_program.REPORT, line)


def test_disk_holds_the_program(tmp_path: Path) -> None:
    disk = tmp_path / "rootfs.ext4"
    disk.touch()
    first_program.make_disk(disk, tmp_path)
    cat = ["debugfs", "-R", f"cat {first_program.PATH}", str(disk)]
    assert subprocess.run(cat, capture_output=True, check=True).stdout == first_program.program()


def test_failing_mkfs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    disk = tmp_path / "rootfs.ext4"
    disk.touch()
    with pytest.raises(CommandError, match=r"mkfs\.ext4"):
        first_program.make_disk(disk, tmp_path)
