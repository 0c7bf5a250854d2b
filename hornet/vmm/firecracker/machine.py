"""A running Firecracker, through its API on a Unix socket (Firecracker: src/firecracker/swagger/firecracker.yaml).

Firecracker writes the path of a VM's disk into its snapshots. Here it runs in a directory of its own VM (work.py) and
gets only the disk's file name. A clone therefore opens its own disk, wherever that is. Firecracker opens its tap by
name, so it runs in the VM's network namespace.

It runs as the VM's user, without any capability, in a cell (hornet/vmm/cell.py). Every clone must open the same memory
file, or they would share no pages. So that file has a group which every Firecracker has, and which may only read it.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from hornet.errors import HornetError, VMError
from hornet.foreign_file import parse_json, read_bytes
from hornet.host.phases import timed
from hornet.network import netns
from hornet.network.tap import open_tap
from hornet.spec.lane import Lane
from hornet.vmm.api_log import ApiLog
from hornet.vmm.cell import Cell
from hornet.vmm.console import Console
from hornet.vmm.driver import MachineConfig, OrderLine
from hornet.vmm.failure import END_TIMEOUT_S, FailureSignal
from hornet.vmm.firecracker.api import TIMEOUT_S, Api
from hornet.vmm.firecracker.jailer import Jailed, JailerRoot, jailer_command, root_of
from hornet.vmm.firecracker.orders import VsockLine
from hornet.vmm.firecracker.page_faults import PageFaultServer
from hornet.vmm.firecracker.program import binary
from hornet.vmm.firecracker.requests import (
    DISK,
    ROOT,
    SERIAL_FILE,
    SHARED_FILE,
    VSOCK_SOCKET,
    Release,
    Request,
    create_request,
    load_request,
)
from hornet.vmm.firecracker.work import WorkDirectory, share_memory
from hornet.vmm.process import Rights, claimed, last_words, log_tail, open_given, opened, start_jailer, start_vmm

API_SOCKET, PAGES_SOCKET = "api.sock", "pages.sock"
LOG_FILE = "vmm.log"
METRICS_FILE = "metrics.json"
# A line of some KiB for each flush.
MAX_METRICS_BYTES = 4 << 20
WRITTEN_MEMORY, WRITTEN_STATE = "written.mem", "written.snapshot"
# What Firecracker finds in its cell and in its working directory.
PROGRAM, MEMORY = "firecracker", "vm.mem"
KERNEL, STATE = "vmlinux", "vm.snapshot"
START_TIMEOUT_S = 20.0
# Nothing signals that the socket exists. A start takes several milliseconds, so this adds little error.
POLL_S = 0.0005


class FirecrackerVM:
    """A running Firecracker. Made by FirecrackerDriver, not directly."""

    def __init__(
        self,
        lane: Lane,
        config: MachineConfig,
        release: Release,
        *,
        copied: Mapping[str, BinaryIO],
        memory: Path | None = None,
    ) -> None:
        """copied: files of which it gets a copy, by their names there; memory: a snapshot's memory file."""
        self.lane = lane
        self.config = config
        self.release = release
        self._log = config.directory / LOG_FILE
        self._stack = ExitStack()
        self._mapped: list[Path] = []
        self._pages: PageFaultServer | None = None
        self._resumed_by_load = False
        self._jailed: Jailed | None = None
        self.failure = FailureSignal(config.name)
        with timed(config.phases_ms, "vmm_start_ms"):
            serial_end, serial_theirs = socket.socketpair()
            # Firecracker reads standard input only if it is a terminal or a pipe.
            typed_fd, keyboard_fd = os.pipe()
            keyboard = os.fdopen(keyboard_fd, "wb", buffering=0)
            try:
                with serial_theirs, os.fdopen(typed_fd), claimed(config.disk, shared=config.shares_root) as disk_fd:
                    self._start(copied, memory, [disk_fd], (typed_fd, serial_theirs.fileno()))
            except BaseException:
                self._stack.close()
                raise
            self.pid = self.failure.pid = self._process.pid
            self.console = Console(
                config.directory / "console.log", serial_end, self.failure, keyboard, on_end=self._note_exit
            )
            self.prints = release.options.serial == "console"
            vsock = VsockLine(self._work.path, VSOCK_SOCKET, config.firecracker.agent_vsock_port, self.failure)
            self.orders: OrderLine = self.console if self.prints else vsock
            self._api_log = ApiLog(config.directory)
            try:
                self._api = Api(self._connect())
                if release.options.jailer:
                    self._jailed = Jailed(self._process.pid, binary().name)
                    self.pid = self.failure.pid = self._jailed.pid
            except HornetError as error:
                self.give_up(error)

    def _start(
        self, copied: Mapping[str, BinaryIO], memory: Path | None, pass_fds: list[int], stdio: tuple[int, int]
    ) -> None:
        config, jailed = self.config, self.release.options.jailer
        program = binary()
        try:
            self._work = WorkDirectory(config, root_of(config, program) if jailed else config.directory / "work")
            serial = [SERIAL_FILE] if self.release.options.serial == "file" else []
            for name in (LOG_FILE, METRICS_FILE, *serial):
                self._work.lend_empty(name)
            for name, stream in copied.items():
                self._work.copy_in(stream, name)
        except OSError as error:
            raise VMError(f"{config.directory}: can't be written: {error.strerror}", "free space there") from error
        if card := config.card:
            os.close(netns.enter(card.namespace, lambda: open_tap(card.tap, owner=config.user)))
        self._shared = self._shared_files()
        files = ({MEMORY: memory} if memory else {}) | self._shared
        arguments = ["--api-sock", API_SOCKET, "--log-path", LOG_FILE, "--level", "Warn"]
        if jailed:
            # The jailer closes all descriptors, so this process holds the lock on the disk.
            self._stack.callback(os.close, os.dup(pass_fds[0]))
            root = opened("jailers", lambda: JailerRoot(self._work.path, config.name, program, files))
            self._place: Cell | JailerRoot = self._stack.enter_context(root)
            self._process = start_jailer([*jailer_command(config, program), *arguments], log=self._log, stdio=stdio)
            return
        cell = self._stack.enter_context(opened("cells", lambda: Cell(self._work.path, {PROGRAM: program} | files)))
        self._place = cell
        group = config.firecracker.memory_group
        argv = [cell.path(PROGRAM), "--id", config.name, *arguments]
        self._process = start_vmm(
            argv,
            Rights(config.user, config.largest_file_bytes, groups=[group], cell=cell),
            log=self._log,
            pass_fds=pass_fds,
            stdio=stdio,
            namespace=card.namespace if card else None,
        )

    def _shared_files(self) -> dict[str, Path]:
        """What several VMs have as memory besides a snapshot's, for the cell; every Firecracker may read it.

        Raises VMError.
        """
        found = {ROOT: self.config.disk} if self.config.shares_root else {}
        if path := self.release.options.shared_file:
            found[SHARED_FILE] = Path(path)
        for shared in found.values():
            with open_given(shared):
                share_memory(shared, self.config.firecracker.memory_group)
        return found

    def pause(self) -> None:
        self._hang_up()
        self.call("PATCH", "/vm", {"state": "Paused"})

    def resume(self) -> None:
        if self._resumed_by_load:
            self._resumed_by_load = False
            return
        self.call("PATCH", "/vm", {"state": "Resumed"})

    def snapshot(self, memory: Path, state: Path, *, diff: bool = False) -> None:
        """Write memory and device state of the paused VM, which may be a clone. Raises VMError.

        diff: only the pages that were written since the last snapshot or since the load; see diff.merge().
        """
        self.send(create_request(self.release, memory=WRITTEN_MEMORY, state=WRITTEN_STATE, diff=diff))
        try:
            self._work.take_out(WRITTEN_MEMORY, memory)
            self._work.take_out(WRITTEN_STATE, state)
        except OSError as error:
            raise VMError(f"{memory.parent}: can't be written: {error.strerror}", "free space there") from error
        # Now, because the snapshot's files must not change once they are sealed.
        share_memory(memory, self.config.firecracker.memory_group)

    def load(self, memory: BinaryIO) -> None:
        """Load memory and device state. The VM is paused afterwards, except with the option resume_in_load.

        Memory is mapped private or, with the backend Uffd, served page by page.
        """
        options = self.release.options
        if options.memory_backend == "Uffd":
            backend = PAGES_SOCKET
            self._pages = PageFaultServer(
                self._work.path,
                PAGES_SOCKET,
                memory,
                lambda problem: self.failure.set(f"lost the server of its memory: {problem}"),
            )
            self._work.give(self._work.path / PAGES_SOCKET)
        else:
            backend = self._place.path(MEMORY)
            self._mapped = [self._place.mapped_path(name) for name in (MEMORY, *self._shared)]
        self.send(load_request(self.config, self.release, backend=backend, state=STATE))
        self._resumed_by_load = options.resume_in_load

    def exchange_disk(self, name: str) -> None:
        """Make the guest use another file of the VM's directory as its disk; between load and resume, for example."""
        self._work.lend(self.config.directory / name)
        self.call("PATCH", f"/drives/{DISK}", {"drive_id": DISK, "path_on_host": name})

    def set_balloon(self, taken_mib: int) -> None:
        self.call("PATCH", "/balloon", {"amount_mib": taken_mib})

    def balloon_statistics(self) -> dict[str, Any]:
        """What the guest's balloon reports of its memory; needs the option balloon_statistics_s. Raises VMError."""
        return dict(self.call("GET", "/balloon/statistics"))

    def start_hinting(self) -> None:
        """Ask the guest for its free pages; needs the option free_page_hinting. Raises VMError."""
        self.call("PATCH", "/balloon/hinting/start", {"acknowledge_on_stop": True})

    def plug_memory(self, plugged_mib: int) -> None:
        """Plug so much memory in; needs the option memory_hotplug_mib. Raises VMError."""
        self.call("PATCH", "/hotplug/memory", {"requested_size_mib": plugged_mib})

    def set_metadata(self, content: dict[str, Any]) -> None:
        """What the guest reads at the metadata service; needs the option mmds. Raises VMError."""
        self.call("PUT", "/mmds", content)

    def flush_metrics(self) -> None:
        """Make Firecracker write its metrics. Raises VMError."""
        self.call("PUT", "/actions", {"action_type": "FlushMetrics"})

    def reported_load_ms(self) -> float:
        self.flush_metrics()
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
        return self._mapped

    def _hang_up(self) -> None:
        """End the connection to the guest's agent: the next order makes a new one."""
        if isinstance(self.orders, VsockLine):
            self.orders.close()

    def _note_exit(self, console: Console) -> None:
        self.failure.note_exit(self._process, lambda: last_words(console, self._log))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self.failure.set("was removed")
        self._process.kill()
        self._process.wait()
        if self._jailed:
            self._jailed.wait()
            self._jailed = None
        if self._pages:
            self._pages.close()
            self._pages = None
        if hasattr(self, "_api"):
            self._api.close()
        self._hang_up()
        self._api_log.close()
        self.console.close()
        self._stack.close()

    def send(self, request: Request) -> None:
        """One request to the API. Raises VMError."""
        self.call(request.method, request.path, request.body)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One API call; returns the answer's JSON. Raises VMError with Firecracker's message if it is rejected."""
        with self._api_log.request(method=method, path=path, body=body) as exchange:
            status, content = self._explained_call(method, path, body)
            exchange.answer = status if content is None else content
        return content

    def _explained_call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        self.failure.check(f"asking Firecracker to {method} {path}")
        try:
            return self._api.call(method, path, body)
        except (OSError, http.client.HTTPException, ValueError, VMError) as error:
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
        directory_fd = os.open(self._work.path, os.O_PATH | os.O_DIRECTORY)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_S)
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
