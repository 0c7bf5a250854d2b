"""Keeps what shows why a VM failed: console, logs and requests outlive the VM and its directory."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hornet.errors import HornetError
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE, open_private, write_private
from hornet.vm.guest import Guest
from hornet.vm.state import STATE_FILE
from hornet.vmm.api_log import API_FILE
from hornet.vmm.transcript import FILE_HEAD_BYTES, FILE_TAIL_BYTES, cut_notice

if TYPE_CHECKING:
    from hornet.vm.fleet import VM

CONSOLE_FILE, SERIAL_FILE, LOG_FILE = "console.log", "serial.log", "vmm.log"
# What the driver and the fleet write into a VM's directory.
FILES = (CONSOLE_FILE, SERIAL_FILE, LOG_FILE, API_FILE, STATE_FILE)
PHASES_FILE, KERNEL_LOG_FILE = "phases.json", "dmesg.txt"
# The values of the option --evidence: the VMs of failed tests, or of all.
WHOSE = FAILURES, ALL = "failures", "all"
# Of one run: a fault that hits every test must not fill the disk. A VM has some 30 kB, a flooded console 2 MB.
MAX_BYTES = 200_000_000
# A guest that still works answers in a fraction of this, emulated too. One that does not must not hold the report.
PING_TIMEOUT_S, KERNEL_LOG_TIMEOUT_S = 1.0, 5.0


class Evidence:
    """The evidence of many VMs: a directory each in `directory`, at most `max_bytes` together. Thread-safe.

    left_out: how many VMs had evidence that was not kept because of that limit.
    """

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.left_out = 0
        self._lock = threading.Lock()

    @property
    def why_not_kept(self) -> str:
        """A sentence about a VM for which keep() returned None."""
        if self.left_out:
            return f"console and logs were not kept: {self.directory} has {self.max_bytes // 1_000_000} MB already"
        return "the VM left no console and no logs"

    def keep(self, vm: VM, name: str) -> Path | None:
        """Copy what there is of a VM to a new directory, `<number>-<name>`; returns it.

        Its guest is asked for its kernel log if it still answers. A console may show secrets of the guest, so only its
        owner can read the copy. None if there is nothing to keep, or if the limit is reached. Raises OSError.
        """
        texts = {KERNEL_LOG_FILE: kernel_log(vm), PHASES_FILE: json.dumps(vm.phases_ms, indent=2) + "\n"}
        return self._write(vm.directory, name, texts)

    def keep_parked(self, directory: Path, name: str) -> Path | None:
        """Like keep(), of a VM that is gone: see park()."""
        return self._write(directory, name, self._parked_texts(directory))

    def update(self, kept: Path, directory: Path) -> None:
        """Replace the files that keep() has copied of a VM that still ran by those that it left. Raises OSError."""
        self._fill(kept, directory, {})

    @staticmethod
    def _parked_texts(directory: Path) -> dict[str, str]:
        return {file: (directory / file).read_text() for file in (PHASES_FILE, KERNEL_LOG_FILE)}

    def _write(self, source: Path, name: str, texts: dict[str, str]) -> Path | None:
        if not any((source / file).is_file() for file in FILES):
            return None
        with self._lock:
            if _size_bytes(self.directory) >= self.max_bytes:
                self.left_out += 1
                return None
            target = self._new_directory(name)
        self._fill(target, source, texts)
        return target

    @staticmethod
    def _fill(target: Path, source: Path, texts: dict[str, str]) -> None:
        for file in FILES:
            if (source / file).is_file():
                copy_bounded(source / file, target / file)
        for name, text in texts.items():
            write_private(target / name, text)

    def _new_directory(self, name: str) -> Path:
        self.directory.mkdir(PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
        number = len(list(self.directory.iterdir()))
        while True:
            number += 1
            with suppress(FileExistsError):  # of a directory that somebody has removed, or of another process
                target = self.directory / f"{number:02d}-{name}"
                target.mkdir(PRIVATE_DIRECTORY_MODE)
                return target


def park(vm: VM, directory: Path, *, ask_guest: bool) -> None:
    """Move the files of a VM that is about to be removed to a new directory, whose owner keeps or deletes them.

    ask_guest: also ask for its kernel log. Raises OSError.
    """
    directory.mkdir(PRIVATE_DIRECTORY_MODE)
    log = kernel_log(vm) if ask_guest else _no_log("the VM was removed before its test failed")
    for name in FILES:
        with suppress(FileNotFoundError):
            shutil.move(vm.directory / name, directory / name)
    write_private(directory / KERNEL_LOG_FILE, log)
    write_private(directory / PHASES_FILE, json.dumps(vm.phases_ms, indent=2) + "\n")


def kernel_log(vm: VM) -> str:
    """What `dmesg` prints in the guest, or one line that says why it is missing."""
    if not hasattr(vm, "guest") or vm.vmm.failure.failed:
        return _no_log("the VM does not run")
    # Another connection: whoever uses the VM's own may be in the middle of a command.
    guest = Guest(vm.guest.namespace, vm.guest.address, vm.guest.key, vm.vmm.failure)
    try:
        guest.await_reply(PING_TIMEOUT_S)
        result = guest.run("dmesg", KERNEL_LOG_TIMEOUT_S)
    except HornetError as error:
        return _no_log(error.message.splitlines()[0])
    finally:
        guest.close()
    return result.stdout or _no_log(f"dmesg ended with exit code {result.exit_code}: {result.stderr[:200].strip()}")


def copy_bounded(source: Path, target: Path) -> None:
    """Copy the head and the tail of a file, with a notice between them if it is longer. Raises OSError."""
    with source.open("rb") as reader, open_private(target, "wb") as writer:
        size_bytes = source.stat().st_size
        writer.write(reader.read(FILE_HEAD_BYTES))
        cut_bytes = size_bytes - FILE_HEAD_BYTES - FILE_TAIL_BYTES
        if cut_bytes > 0:
            writer.write(f"\n{cut_notice(cut_bytes, 'bytes')}\n".encode())
            reader.seek(-FILE_TAIL_BYTES, 2)
        writer.write(reader.read(FILE_TAIL_BYTES))


def _no_log(reason: str) -> str:
    return f"[hornetos: no kernel log: {reason}]\n"


def _size_bytes(directory: Path) -> int:
    """What the files of all VMs take; 0 if there is no such directory."""
    return sum(path.stat().st_size for path in directory.glob("*/*"))
