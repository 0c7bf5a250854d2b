"""What a VM leaves behind outlives it, in bounded room, and only its owner can read it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from hornet.errors import GuestError, VMError
from hornet.vm import evidence
from hornet.vm.evidence import FILES, KERNEL_LOG_FILE, PHASES_FILE, Evidence, kernel_log, park
from hornet.vm.fleet import VM
from hornet.vm.guest_script import Result
from hornet.vmm.api_log import API_FILE, MAX_ANSWER_CHARACTERS, ApiLog
from hornet.vmm.failure import FailureSignal
from hornet.vmm.transcript import FILE_HEAD_BYTES, FILE_TAIL_BYTES


def a_vm(directory: Path, failure: FailureSignal | None = None) -> VM:
    """A VM with its files and without a guest."""
    directory.mkdir()
    for name in (*FILES, "rootfs.ext4"):
        (directory / name).write_text(name)
        (directory / name).chmod(0o600)
    vmm = SimpleNamespace(failure=failure or FailureSignal("vm1"))
    return cast(VM, SimpleNamespace(directory=directory, name="vm1", phases_ms={"load_ms": 2.5}, vmm=vmm))


def test_all_files_are_kept_and_no_disk(tmp_path: Path) -> None:
    kept = Evidence(tmp_path / "evidence").keep(a_vm(tmp_path / "vm1"), "test_x-vm1")
    assert kept == tmp_path / "evidence" / "01-test_x-vm1"
    texts = {path.name: path.read_text() for path in kept.iterdir()}
    assert json.loads(texts.pop(PHASES_FILE)) == {"load_ms": 2.5}
    assert texts.pop(KERNEL_LOG_FILE) == "[hornetos: no kernel log: the VM does not run]\n"
    assert texts == {name: name for name in FILES}


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kept = Evidence(tmp_path / "evidence").keep(a_vm(tmp_path / "vm1"), "vm1")
    finally:
        os.umask(before)
    assert kept
    assert {path.stat().st_mode & 0o777 for path in (kept, kept.parent)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}


def test_equal_names_get_separate_directories(tmp_path: Path) -> None:
    vm, store = a_vm(tmp_path / "vm1"), Evidence(tmp_path / "evidence")
    first, second = (store.keep(vm, "vm1") for _ in range(2))
    assert first != second
    other_process = Evidence(tmp_path / "evidence")
    assert other_process.keep(vm, "vm1") not in (None, first, second)


def test_the_size_limit_is_kept_and_reported(tmp_path: Path) -> None:
    vm, store = a_vm(tmp_path / "vm1"), Evidence(tmp_path / "evidence", max_bytes=1)
    assert store.keep(vm, "vm1")
    assert (store.keep(vm, "vm1"), store.keep(vm, "vm1"), store.left_out) == (None, None, 2)
    assert "were not kept: " in store.why_not_kept
    assert len(list((tmp_path / "evidence").iterdir())) == 1


def test_a_long_log_is_cut_with_a_notice(tmp_path: Path) -> None:
    vm = a_vm(tmp_path / "vm1")
    (vm.directory / "vmm.log").write_bytes(b"a" * FILE_HEAD_BYTES + b"bbbbb" + b"c" * FILE_TAIL_BYTES)
    kept = Evidence(tmp_path / "evidence").keep(vm, "vm1")
    assert kept
    text = (kept / "vmm.log").read_text()
    assert text == "a" * FILE_HEAD_BYTES + "\n[hornetos: 5 bytes cut here]\n" + "c" * FILE_TAIL_BYTES


def test_a_vm_without_files_makes_no_directory(tmp_path: Path) -> None:
    vm = cast(VM, SimpleNamespace(directory=tmp_path / "vm1", phases_ms={}))
    store = Evidence(tmp_path / "evidence")
    assert store.keep(vm, "vm1") is None
    assert store.why_not_kept == "the VM left no console and no logs"
    assert not (tmp_path / "evidence").exists()


def test_parked_files_of_a_removed_vm_can_be_kept(tmp_path: Path) -> None:
    vm, store = a_vm(tmp_path / "vm1"), Evidence(tmp_path / "evidence")
    shown = store.keep(vm, "vm1")
    (vm.directory / "console.log").write_text("the end")
    park(vm, tmp_path / "parked", ask_guest=False)
    assert [path.name for path in vm.directory.iterdir()] == ["rootfs.ext4"]
    kept = store.keep_parked(tmp_path / "parked", "vm1")
    assert kept
    assert shown
    assert (kept / "console.log").read_text() == "the end"
    assert "was removed before" in (kept / KERNEL_LOG_FILE).read_text()
    assert (shown / "console.log").read_text() == "console.log"
    store.update(shown, tmp_path / "parked")
    assert (shown / "console.log").read_text() == "the end"


@pytest.mark.parametrize(
    ("run", "log"),
    [
        (Mock(return_value=Result("[0.0] Linux\n", "", 0)), "[0.0] Linux\n"),
        (Mock(return_value=Result("", "dmesg: not found", 127)), "exit code 127: dmesg: not found"),
        (Mock(side_effect=GuestError("port 22: refused\nmore")), "[hornetos: no kernel log: port 22: refused]\n"),
    ],
    ids=["answers", "no dmesg", "no sshd"],
)
def test_the_kernel_log_or_the_reason_why_it_is_missing(
    run: Mock, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm: Any = a_vm(tmp_path / "vm1")
    vm.guest = Mock()
    monkeypatch.setattr(evidence, "Guest", Mock(return_value=Mock(run=run)))
    assert log in kernel_log(vm)


def test_a_failed_vm_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = FailureSignal("vm1")
    failure.set("had a kernel panic")
    vm: Any = a_vm(tmp_path / "vm1", failure)
    vm.guest = Mock()
    monkeypatch.setattr(evidence, "Guest", Mock(side_effect=AssertionError("it was asked")))
    assert "the VM does not run" in kernel_log(vm)


def test_an_error_names_its_steps_one_after_the_other() -> None:
    error = VMError("it panicked", "use another kernel")
    error.add_hint("console: /x")
    assert str(error) == "it panicked\n  next: use another kernel; console: /x"
    bare = VMError("it panicked")
    bare.add_hint("console: /x")
    assert str(bare) == "it panicked\n  next: console: /x"


# --- Requests to the VMM ----------------------------------------------------------------------------------------------


def test_each_request_is_one_line_with_its_answer_or_error(tmp_path: Path) -> None:
    log = ApiLog(tmp_path)
    with log.request(execute="query-status") as exchange:
        exchange.answer = {"status": "running"}
    with pytest.raises(VMError, match="no answer"), log.request(execute="cont", arguments=None):
        raise VMError("no answer", "read the log")
    with log.request(execute="query-all") as exchange:
        exchange.answer = "x" * 2 * MAX_ANSWER_CHARACTERS
    log.close()
    with log.request(execute="after the end"):
        pass
    first, second, third = map(json.loads, (tmp_path / API_FILE).read_text().splitlines())
    assert (first["request"], first["answer"]) == ({"execute": "query-status"}, {"status": "running"})
    assert (second["error"], "answer" in second) == ("no answer", False)
    assert first["monotonic_s"] <= second["monotonic_s"]
    assert first["duration_ms"] >= 0
    assert first["time"].endswith("+00:00")
    assert len(third["answer"]) < MAX_ANSWER_CHARACTERS + 100
