"""QMP, QEMU's control protocol, for synchronous callers on any thread.

qemu.qmp is asynchronous; one background thread runs its event loop for every VM of this process, so that a VM
may be started on one thread, used on a second and killed on a third.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError

from hornet.errors import VMError

T = TypeVar("T")


# Two threads that start the first VMs at once must not get a loop each: a connection belongs to one.
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

    def __init__(self, connection: socket.socket, vm_name: str) -> None:
        self._client: Any = QMPClient(vm_name)
        self._connection = connection
        self._vm_name = vm_name

    def connect(self, timeout_s: float) -> None:
        """Wait for the greeting and negotiate."""
        self._call("connect", self._client.connect(self._connection), timeout_s)

    def execute(self, command: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 20.0) -> Any:
        """Run a command and give its return value."""
        return self._call(command, self._client.execute(command, arguments), timeout_s)

    def send_fd(self, fd: int, name: str) -> None:
        """Hand an open file to QEMU under a name that later commands use."""

        async def hand_over() -> None:
            self._client.send_fd_scm(fd)
            await self._client.execute("getfd", {"fdname": name})

        self._call("getfd", hand_over(), 20.0)

    def wait_migration(self, timeout_s: float) -> None:
        """Wait until a migration (out or in) has completed. Raises VMError if it failed."""

        async def watch() -> str:
            while True:
                event = await self._client.events.get()
                if event["event"] != "MIGRATION":
                    continue
                status: str = event["data"]["status"]
                if status in ("completed", "failed", "cancelled"):
                    return status

        status = self._call("migration", watch(), timeout_s)
        if status != "completed":
            raise VMError(
                f"VM {self._vm_name}: the migration stream ended as {status!r}, expected 'completed'",
                "the VMM's own words are in vmm.log of the VM's directory",
            )

    def close(self) -> None:
        """Disconnect; a QEMU that already went away is no error here."""
        try:
            self._call("disconnect", self._client.disconnect(), 5.0)
        except VMError:
            pass

    def _call(self, what: str, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout_s), _event_loop())
        try:
            return future.result(timeout_s + 5.0)
        except TimeoutError as error:
            raise VMError(f"VM {self._vm_name}: no answer to QMP {what} within {timeout_s:g} s") from error
        except (QMPError, EOFError, OSError) as error:
            raise VMError(f"VM {self._vm_name}: QMP {what}: {error or type(error).__name__}") from error
        except BaseException:
            future.cancel()
            raise
