"""QMP, QEMU's control protocol, for callers on any thread (QEMU documentation: docs/interop/qmp-spec).

A caller sends its command and reads the answer itself: a change of threads takes as long as QEMU's own work on a
command. A thread of each VM reads what comes while nobody waits, such as the event of a full disk.
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hornet.errors import HornetError, VMError
from hornet.foreign_file import parse_json
from hornet.vmm.api_log import ApiLog
from hornet.vmm.failure import END_TIMEOUT_S, FailureSignal

EXECUTE_TIMEOUT_S = 20.0
CHUNK_BYTES = 1 << 16
# Of one answer or event. QEMU's answers to the suite's commands have some hundred bytes.
MAX_LINE_BYTES = 1 << 20
# A migration has five or six. A guest must not be able to fill memory with them.
MAX_STATUSES = 100


class Qmp:
    """One connection to one QEMU. Every call is bounded by `timeout_s` and raises VMError; one call runs at a time."""

    def __init__(
        self, connection: socket.socket, failure: FailureSignal, log: ApiLog, on_stopped: Callable[[str], None]
    ) -> None:
        """on_stopped: called with the reason, on any thread, when QEMU stops the VM for a disk error."""
        self._connection = connection
        self._failure = failure
        self._log = log
        self._vm_name = failure.vm_name
        self._on_stopped = on_stopped
        # The thread that holds the lock reads from the socket; _rest is what it has read too much.
        self._lock = threading.Lock()
        self._rest = b""
        # QEMU answers commands in their order. The number tells a late answer from that to the next command.
        self._numbers = itertools.count(1)
        self._asked = 0
        self._greeting: dict[str, Any] | None = None
        self._answer: dict[str, Any] | None = None
        self._statuses: deque[str] = deque(maxlen=MAX_STATUSES)
        self._ended = False
        self._waker, self._woken = socket.socketpair()
        self._poller = select.poll()
        for readable in (connection, self._woken):
            self._poller.register(readable, select.POLLIN)
        failure.on_failure(self._wake)
        self._thread = threading.Thread(target=self._watch, name=f"qmp-{failure.vm_name}", daemon=True)

    def connect(self, timeout_s: float) -> None:
        """Wait for the greeting and negotiate."""
        with self._log.request(execute="connect", arguments=None), self._lock:
            self._read("connect", timeout_s, lambda: self._greeting)
        self.execute("qmp_capabilities", timeout_s=timeout_s)
        self._failure.started = True

    def watch(self) -> None:
        """From now on, also read what comes while no caller waits: call it before the guest runs.

        Before that it would only delay the callers, who read the same.
        """
        if not self._thread.ident:
            self._thread.start()

    def execute(
        self, command: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = EXECUTE_TIMEOUT_S
    ) -> Any:
        """Run a command and return its result."""
        return self._execute(command, arguments, timeout_s, [])

    def send_fd(self, fd: int, name: str) -> None:
        """Pass an open file to QEMU under a name that later commands use."""
        self._execute("getfd", {"fdname": name}, EXECUTE_TIMEOUT_S, [fd])

    def wait_migration(self, timeout_s: float) -> None:
        """Wait until a migration (out or in) has completed. Raises VMError if it failed."""
        with self._log.request(execute="migration", arguments=None) as exchange, self._lock:
            exchange.answer = status = self._read("migration", timeout_s, self._last_status)
        if status != "completed":
            raise VMError(
                f"VM {self._vm_name}: the migration stream ended as {status!r}, expected 'completed'",
                "read the VMM's log",
            )

    def close(self) -> None:
        """Disconnect. A QEMU that has already ended is not an error here."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        if self._thread.ident and self._thread is not threading.current_thread():
            self._thread.join(END_TIMEOUT_S)
        for connection in (self._connection, self._waker, self._woken):
            connection.close()

    def _execute(self, command: str, arguments: dict[str, Any] | None, timeout_s: float, fds: list[int]) -> Any:
        with self._log.request(execute=command, arguments=arguments) as exchange, self._lock:
            self._asked, self._answer = next(self._numbers), None
            request = {"execute": command, "id": self._asked} | ({"arguments": arguments} if arguments else {})
            # Without blanks: QEMU reads a command byte by byte, in some microseconds each.
            line = json.dumps(request, separators=(",", ":")).encode() + b"\n"
            # Never waits: a QEMU that reads nothing is one that does not answer.
            with suppress(OSError):
                socket.send_fds(self._connection, [line], fds, socket.MSG_DONTWAIT)
            answer = self._read(command, timeout_s, lambda: self._answer)
            if "return" not in answer:
                raise VMError(f"VM {self._vm_name}: QMP {command}: {answer['error']['desc']}")
            exchange.answer = answer["return"]
        return exchange.answer

    def _last_status(self) -> str | None:
        """The status with which a migration ended, taken out; None if there is none yet."""
        while self._statuses:
            if (status := self._statuses.popleft()) in ("completed", "failed", "cancelled"):
                return status
        return None

    def _read(self, what: str, timeout_s: float, found: Callable[[], Any]) -> Any:
        """Read until `found` returns something, and return that. Raises VMError at the end of the time or of QEMU."""
        deadline_s = time.monotonic() + timeout_s
        while (result := found()) is None and not self._ended and not self._failure.failed:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                stopped = self._failure.stopped()
                message = f"VM {self._vm_name}: no answer to QMP {what} within {timeout_s:g} s{stopped}"
                raise VMError(message, timed_out=True)
            if self._poller.poll(left_s * 1000):
                self._receive()
        if result is not None:
            return result
        if self._failure.failed or self._failure.wait(END_TIMEOUT_S):
            raise self._failure.error(f"asking QEMU to {what}")
        raise VMError(f"VM {self._vm_name}: QMP {what}: QEMU has closed the connection", "read the VMM's log")

    def _watch(self) -> None:
        """Read what comes while no caller waits."""
        poller = select.poll()
        poller.register(self._connection, select.POLLIN)
        while not self._ended:
            poller.poll()
            with self._lock:
                self._receive()

    def _receive(self) -> None:
        """Take in what has arrived, if anything has."""
        try:
            chunk = self._connection.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        try:
            for line in lines:
                self._take(parse_json(line))
        except HornetError:
            chunk = b""  # an answer that is not JSON is as bad as none
        self._ended = self._ended or not chunk or len(self._rest) > MAX_LINE_BYTES

    def _take(self, message: Any) -> None:
        match message:
            case {"event": "MIGRATION", "data": {"status": str(status)}}:
                self._statuses.append(status)
            case {"event": "BLOCK_IO_ERROR", "data": {"action": "stop", **details}}:
                # QEMU stops a VM whose disk is full, and reports it only in this event.
                self._on_stopped(str(details.get("reason", "no reason given")))
            case {"QMP": _}:
                self._greeting = {}
            case {"id": self._asked, "return": _} | {"id": self._asked, "error": {"desc": str(_)}}:
                self._answer = message

    def _wake(self) -> None:
        """Let a waiting caller see that the VM has failed."""
        with suppress(OSError):
            self._waker.send(b"\0", socket.MSG_DONTWAIT)
