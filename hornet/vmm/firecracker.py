"""Firecracker as a MicroVM, through its API on a Unix socket (Firecracker: src/firecracker/swagger/firecracker.yaml).

Firecracker writes the path of a VM's disk into its snapshots. Here it runs in the VM's own directory and gets only the
disk's file name. A clone therefore opens the disk in its own directory, wherever that is. Firecracker opens its tap by
name, so it runs in the VM's network namespace.

Firecracker also opens guest memory by path. Every clone must open the same file, or they would share no pages. So it
runs as root, which owns that file, without any capability, and sees the whole host. A guest that compromises it can
write all files that root owns. Firecracker's own solution, the jailer, is not used yet.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from hornet.errors import HornetError, VMError
from hornet.foreign_file import parse_json, read_bytes
from hornet.host.file_copy import open_private
from hornet.host.phases import timed
from hornet.host.proc import run
from hornet.host.tools import HostTool
from hornet.spec.lane import Lane
from hornet.vmm.api_log import ApiLog
from hornet.vmm.console import Console
from hornet.vmm.driver import Driver, MachineConfig
from hornet.vmm.failure import END_TIMEOUT_S, FailureSignal
from hornet.vmm.process import Rights, claimed, last_words, log_tail, open_given, start_vmm

PROGRAM = HostTool("firecracker", None, required=False)
# Older ones announce devices in ways that the spec's kernel does not read (before 1.8), or are out of support.
OLDEST = (1, 10)
API_SOCKET = "api.sock"
LOG_FILE = "vmm.log"
METRICS_FILE = "metrics.json"
# A line of some KiB for each flush.
MAX_METRICS_BYTES = 4 << 20
WRITTEN_MEMORY, WRITTEN_STATE = "written.mem", "written.snapshot"
START_TIMEOUT_S = 20.0
CALL_TIMEOUT_S = 60.0
# Nothing signals that the socket exists. A start takes several milliseconds, so this adds little error.
POLL_S = 0.0005


class FirecrackerVM:
    """A running Firecracker. Made by FirecrackerDriver, not directly.

    files: files that it opens through _inherited(). Without capabilities it can't enter other users' directories.
    """

    def __init__(self, lane: Lane, config: MachineConfig, files: Sequence[BinaryIO]) -> None:
        self.lane = lane
        self.config = config
        self.phases_ms: dict[str, float] = {}
        self._log = config.directory / LOG_FILE
        self._memory: list[Path] = []
        self.failure = FailureSignal(config.name)
        with timed(self.phases_ms, "vmm_start_ms"):
            serial_end, serial_theirs = socket.socketpair()
            # Firecracker reads standard input only if it is a terminal or a pipe.
            typed_fd, keyboard_fd = os.pipe()
            keyboard = os.fdopen(keyboard_fd, "wb", buffering=0)
            argv = [PROGRAM.name, "--api-sock", API_SOCKET, "--id", config.name]
            argv += ["--log-path", LOG_FILE, "--level", "Warn"]
            with serial_theirs, os.fdopen(typed_fd), claimed(config.disk) as disk_fd:
                self._process = start_vmm(
                    argv,
                    Rights(None, config.largest_file_bytes),
                    log=self._log,
                    pass_fds=[disk_fd, *(file.fileno() for file in files)],
                    stdio=(typed_fd, serial_theirs.fileno()),
                    directory=config.directory,
                    namespace=config.card.namespace if config.card else None,
                )
            self.pid = self.failure.pid = self._process.pid
            self.console = Console(
                config.directory / "console.log", serial_end, self.failure, keyboard, on_end=self._note_exit
            )
            self._api_log = ApiLog(config.directory)
            try:
                self._api = _Api(self._connect())
            except HornetError as error:
                self.give_up(error)

    def pause(self) -> None:
        self.call("PATCH", "/vm", {"state": "Paused"})

    def resume(self) -> None:
        self.call("PATCH", "/vm", {"state": "Resumed"})

    def snapshot(self, memory: Path, state: Path) -> None:
        """Write memory and device state of the paused VM, which may be a clone. Raises VMError."""
        # Firecracker writes into the VM's own directory, its working directory, which it can always reach.
        body = {"snapshot_type": "Full", "snapshot_path": WRITTEN_STATE, "mem_file_path": WRITTEN_MEMORY}
        self.call("PUT", "/snapshot/create", body)
        try:
            shutil.move(self.config.directory / WRITTEN_MEMORY, memory)
            shutil.move(self.config.directory / WRITTEN_STATE, state)
        except OSError as error:
            raise VMError(f"{memory.parent}: can't be written: {error.strerror}", "free space there") from error

    def load(self, memory: BinaryIO, state: BinaryIO) -> None:
        """Load memory, mapped private, and device state. The VM is paused afterwards."""
        body = {
            "snapshot_path": _inherited(state),
            "mem_backend": {"backend_type": "File", "backend_path": _inherited(memory)},
            "resume_vm": False,
        }
        self.call("PUT", "/snapshot/load", body)
        self._memory = [Path(memory.name)]

    def set_balloon(self, taken_mib: int) -> None:
        self.call("PATCH", "/balloon", {"amount_mib": taken_mib})

    def reported_load_ms(self) -> float:
        self.call("PUT", "/actions", {"action_type": "FlushMetrics"})
        # One line of JSON for each flush.
        lines = read_bytes(self.config.directory / METRICS_FILE, MAX_METRICS_BYTES, follow_links=False).splitlines()
        try:
            latency_us = float(parse_json(lines[-1])["latencies_us"]["load_snapshot"])
        except (LookupError, TypeError, ValueError) as error:
            raise VMError(f"VM {self.config.name}: Firecracker's metrics have no load_snapshot latency") from error
        if not latency_us:
            raise VMError(
                f"VM {self.config.name}: Firecracker reports a load_snapshot latency of 0: it loaded no snapshot"
            )
        return latency_us / 1000

    def memory_files(self) -> list[Path]:
        return self._memory

    def _note_exit(self, console: Console) -> None:
        self.failure.note_exit(self._process, lambda: last_words(console, self._log))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self.failure.set("was removed")
        self._process.kill()
        self._process.wait()
        if hasattr(self, "_api"):
            self._api.close()
        self._api_log.close()
        self.console.close()

    def call(self, method: str, path: str, body: dict[str, Any]) -> None:
        """One API call. Raises VMError with Firecracker's own message if Firecracker rejects it."""
        with self._api_log.request(method=method, path=path, body=body) as exchange:
            exchange.answer = self._explained_call(method, path, body)

    def _explained_call(self, method: str, path: str, body: dict[str, Any]) -> int:
        self.failure.check(f"asking Firecracker to {method} {path}")
        try:
            return self._api.call(method, path, body)
        except (OSError, http.client.HTTPException, VMError) as error:
            if not isinstance(error, VMError | TimeoutError) and self.failure.wait(END_TIMEOUT_S):
                raise self.failure.error(f"asking Firecracker to {method} {path}") from error
            timed_out = isinstance(error, TimeoutError)
            stopped = self.failure.stopped() if timed_out else ""
            raise VMError(
                f"VM {self.config.name}: {method} {path}: {error}{stopped}\n  VMM log: {log_tail(self._log)}",
                "read the rest of the VMM's log",
                timed_out=timed_out,
            ) from error

    def give_up(self, error: HornetError) -> None:
        """Kill a VM that can't be set up, and raise `error`."""
        self.kill()
        raise error

    def _connect(self) -> socket.socket:
        """Connect to the API as soon as it listens."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        # Through a descriptor, because the path of a Unix socket may have at most 107 bytes.
        directory_fd = os.open(self.config.directory, os.O_PATH | os.O_DIRECTORY)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CALL_TIMEOUT_S)
        try:
            while True:
                try:
                    connection.connect(f"/proc/self/fd/{directory_fd}/{API_SOCKET}")
                    self.failure.started = True
                    return connection
                except (FileNotFoundError, ConnectionRefusedError) as error:
                    if self.failure.failed or time.monotonic() > deadline_s:
                        connection.close()
                        self.failure.check("waiting for Firecracker's API")
                        raise VMError(
                            f"VM {self.config.name}: timed out after {START_TIMEOUT_S:g} s waiting for Firecracker's "
                            f"API{self.failure.stopped()}\n{last_words(self.console, self._log)}",
                            "read the rest of the VMM's log",
                            timed_out=True,
                        ) from error
                    time.sleep(POLL_S)
        finally:
            os.close(directory_fd)


class _Api(http.client.HTTPConnection):
    """HTTP over a Unix socket that is already connected."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__("localhost", timeout=CALL_TIMEOUT_S)
        self.sock = connection

    def call(self, method: str, path: str, body: dict[str, Any]) -> int:
        """One request; returns the HTTP status. Raises VMError with Firecracker's message for 300 and above."""
        self.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status >= 300:
            raise VMError(f"HTTP {answer.status}: {_fault(text)}")
        return answer.status


def _fault(text: str) -> str:
    try:
        return str(json.loads(text)["fault_message"])
    except (ValueError, KeyError, TypeError):
        return text


def _set_up(vm: FirecrackerVM, kernel: str, boot_args: str) -> None:
    config = vm.config
    # Not the root device: Firecracker would append `root=/dev/vda rw` to the boot arguments, after a `ro` of ours. They
    # name the root themselves.
    disk = {"drive_id": "rootfs", "path_on_host": config.disk.name, "is_root_device": False, "is_read_only": False}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/machine-config", {"vcpu_count": config.vcpus, "mem_size_mib": config.memory_mib}),
        ("/boot-source", {"kernel_image_path": kernel, "boot_args": boot_args}),
        ("/drives/rootfs", disk),
        ("/balloon", {"amount_mib": 0, "deflate_on_oom": False}),
        ("/entropy", {}),
    ]
    if config.card:
        card = {"iface_id": "eth0", "host_dev_name": config.card.tap, "guest_mac": config.card.mac}
        bodies.append(("/network-interfaces/eth0", card))
    try:
        for path, body in [*bodies, ("/actions", {"action_type": "InstanceStart"})]:
            vm.call("PUT", path, body)
    except HornetError as error:
        vm.give_up(error)


def _inherited(file: BinaryIO) -> str:
    """The path under which a process opens a file whose descriptor it inherited."""
    return f"/proc/self/fd/{file.fileno()}"


class FirecrackerDriver:
    """Firecracker's driver."""

    program = PROGRAM

    def version(self) -> str:
        text = run([PROGRAM.name, "--version"], timeout_s=20).output
        found = re.search(r"Firecracker v(\d+\.\d+\S*)", text)
        if not found:
            raise VMError(f"{PROGRAM.name} --version printed {text[:80]!r}, expected 'Firecracker vN.N'")
        return found.group(1)

    def prepare(self) -> None:
        """Check the version, so that the first VM does not wait for it. Raises VMError for one that is too old."""
        _require_supported()

    def lane_settings(self, lane: Lane) -> dict[str, str]:
        """Empty: a Firecracker guest sees only the machine of the spec and the host's CPU."""
        return {}

    def boot(self, lane: Lane, config: MachineConfig, *, kernel: Path, boot_args: str) -> FirecrackerVM:
        _require_supported()
        with open_given(kernel) as stream:
            vm = FirecrackerVM(lane, config, [stream])
            _set_up(vm, _inherited(stream), boot_args)
        return vm

    def restore(
        self, lane: Lane, config: MachineConfig, *, memory: Path, state: Path, snapshottable: bool = False
    ) -> FirecrackerVM:
        """See Driver. snapshottable has no effect: every clone can be snapshotted."""
        with open_given(memory) as ram, open_given(state) as stream:
            vm = FirecrackerVM(lane, config, [ram, stream])
            try:
                open_private(config.directory / METRICS_FILE, "xb").close()
                vm.call("PUT", "/metrics", {"metrics_path": METRICS_FILE})
                with timed(vm.phases_ms, "load_ms"):
                    vm.load(ram, stream)
            except HornetError as error:
                vm.give_up(error)
        return vm


DRIVER: Driver = FirecrackerDriver()


@cache
def _require_supported() -> None:
    version = DRIVER.version()
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise VMError(
            f"{PROGRAM.name} on PATH is version {version}, expected {oldest} or newer", "take a newer release binary"
        )
