"""Console and log of a failed VM outlive it, in bounded room, and only their owner can read them."""

from __future__ import annotations

import os
from pathlib import Path

from hornet.errors import VMError
from hornet.vm.evidence import FILES, MAX_KEPT, keep_evidence


def vm_directory(path: Path) -> Path:
    path.mkdir()
    for name in (*FILES, "rootfs.ext4"):
        (path / name).write_text(name)
        (path / name).chmod(0o600)
    return path


def test_console_log_and_state_are_kept_and_no_disk(tmp_path: Path) -> None:
    kept = keep_evidence(vm_directory(tmp_path / "vm1"), tmp_path / "evidence", "vm1")
    assert kept
    assert {path.name: path.read_text() for path in kept.iterdir()} == {name: name for name in FILES}


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kept = keep_evidence(vm_directory(tmp_path / "vm1"), tmp_path / "evidence", "vm1")
    finally:
        os.umask(before)
    assert kept
    modes = {path.stat().st_mode & 0o777 for path in (kept, kept.parent)}
    assert modes == {0o700}
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}


def test_two_of_one_name_stay_apart(tmp_path: Path) -> None:
    vm = vm_directory(tmp_path / "vm1")
    first, second = (keep_evidence(vm, tmp_path / "evidence", "vm1") for _ in range(2))
    assert first != second


def test_a_fault_that_hits_every_test_does_not_fill_the_disk(tmp_path: Path) -> None:
    vm = vm_directory(tmp_path / "vm1")
    kept = [keep_evidence(vm, tmp_path / "evidence", "vm1") for _ in range(MAX_KEPT + 2)]
    assert kept[-2:] == [None, None]
    assert len(list((tmp_path / "evidence").iterdir())) == MAX_KEPT


def test_a_vm_that_left_nothing_makes_no_directory(tmp_path: Path) -> None:
    (tmp_path / "vm1").mkdir()
    assert keep_evidence(tmp_path / "vm1", tmp_path / "evidence", "vm1") is None
    assert not (tmp_path / "evidence").exists()


def test_an_error_names_its_steps_one_after_the_other() -> None:
    error = VMError("it panicked", "use another kernel")
    error.add_hint("console: /x")
    assert str(error) == "it panicked\n  next: use another kernel; console: /x"
    bare = VMError("it panicked")
    bare.add_hint("console: /x")
    assert str(bare) == "it panicked\n  next: console: /x"
