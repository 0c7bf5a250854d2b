"""QMP, QEMU's control protocol, for synchronous callers on any thread.

qemu.qmp is asynchronous. One background thread runs the event loop for all VMs of this process, so a VM can be started
on one thread, used on a second and killed on a third.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from functools import cache
from typing import Any, TypeVar

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError

from hornet.errors import VMError
from hornet.vmm.api_log import ApiLog
from hornet.vmm.failure import END_TIMEOUT_S, FailureSignal

T = TypeVar("T")

CLOSE_TIMEOUT_S = 5.0

# Two threads that start the first VMs concurrently must share one loop: a connection belongs to its loop.
_making = threading.Lock()


def _event_loop() -> asyncio.AbstractEventLoop:
    with _making:
        return _the_event_loop()


@cache
def _the_event_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="qmp", daemon=True).start()
    return loop


class Qmp:
    """One connection to one QEMU. Every call is bounded by `timeout_s` and raises VMError."""

    def __init__(
        self, connection: socket.socket, failure: FailureSignal, log: ApiLog, on_stopped: Callable[[str], None]
    ) -> None:
        """on_stopped: called with the reason, on the event loop's thread, when QEMU stops the VM for a disk error."""
        self._log = log
        self._client: Any = QMPClient(failure.vm_name)
        # The client's own listener keeps every event that it accepts, so a guest must not be able to fill it.
        self._client.events.names = {"MIGRATION"}
        self._client.register_listener(EventListener("BLOCK_IO_ERROR", self._note_disk_error))
        self._connection = connection
        self._failure = failure
        self._vm_name = failure.vm_name
        self._on_stopped = on_stopped
        # A migration ends with an event, which a dead QEMU never sends. So a failure cancels the calls.
        self._calls: set[Future[Any]] = set()
        failure.on_failure(self._cancel_calls)

    def connect(self, timeout_s: float) -> None:
        """Wait for the greeting and negotiate."""
        self._call("connect", self._client.connect(self._connection), timeout_s)
        self._failure.started = True

    def execute(self, command: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 20.0) -> Any:
        """Run a command and return its result."""
        return self._call(command, self._client.execute(command, arguments), timeout_s, arguments)

    def send_fd(self, fd: int, name: str) -> None:
        """Pass an open file to QEMU under a name that later commands use."""

        async def hand_over() -> None:
            self._client.send_fd_scm(fd)
            await self._client.execute("getfd", {"fdname": name})

        self._call("getfd", hand_over(), 20.0, {"fdname": name})

    def wait_migration(self, timeout_s: float) -> None:
        """Wait until a migration (out or in) has completed. Raises VMError if it failed."""

        async def watch() -> str:
            while True:
                status: str = (await self._client.events.get())["data"]["status"]
                if status in ("completed", "failed", "cancelled"):
                    return status

        status = self._call("migration", watch(), timeout_s)
        if status != "completed":
            raise VMError(
                f"VM {self._vm_name}: the migration stream ended as {status!r}, expected 'completed'",
                "read the VMM's log",
            )

    def close(self) -> None:
        """Disconnect. A QEMU that has already ended is not an error here."""
        future = self._begin(self._client.disconnect(), CLOSE_TIMEOUT_S)
        try:
            future.result(2 * CLOSE_TIMEOUT_S)
        except (QMPError, EOFError, OSError, TimeoutError, AssertionError):
            pass  # qemu.qmp asserts if a cancelled call is already closing the connection

    def _note_disk_error(self, event: Mapping[str, Any]) -> bool:
        """QEMU stops a VM whose disk is full, and reports it only in this event. False: do not keep the event."""
        if event["data"]["action"] == "stop":
            self._on_stopped(event["data"].get("reason", "no reason given"))
        return False

    def _begin(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout_s), _event_loop())

    def _cancel_calls(self) -> None:
        for call in list(self._calls):
            call.cancel()

    def _call(
        self, what: str, coroutine: Coroutine[Any, Any, T], timeout_s: float, arguments: dict[str, Any] | None = None
    ) -> T:
        with self._log.request(execute=what, arguments=arguments) as exchange:
            exchange.answer = answer = self._await_answer(what, coroutine, timeout_s)
        return answer

    def _await_answer(self, what: str, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        if self._failure.failed:
            coroutine.close()
            raise self._failure.error(f"asking QEMU to {what}")
        future = self._begin(coroutine, timeout_s)
        self._calls.add(future)
        # A failure just before this line did not cancel this call.
        if self._failure.failed:
            future.cancel()
        try:
            return future.result(timeout_s + CLOSE_TIMEOUT_S)
        except CancelledError as error:
            raise self._failure.error(f"asking QEMU to {what}") from error
        except TimeoutError as error:
            stopped = self._failure.stopped()
            message = f"VM {self._vm_name}: no answer to QMP {what} within {timeout_s:g} s{stopped}"
            raise VMError(message, timed_out=True) from error
        except (QMPError, EOFError, OSError) as error:
            if not isinstance(error, ExecuteError) and self._failure.wait(END_TIMEOUT_S):
                raise self._failure.error(f"asking QEMU to {what}") from error
            raise VMError(f"VM {self._vm_name}: QMP {what}: {error or type(error).__name__}") from error
        finally:
            future.cancel()  # if it is still running: the caller was interrupted
            self._calls.discard(future)
