"""Runs a shell script over an SSH channel and reads both its streams, bounded in time and memory."""

from __future__ import annotations

import codecs
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import paramiko

from hornet.vmm.transcript import cut_notice

CHUNK_BYTES = 1 << 16
# Per stream. Further output is read and discarded, so that the script continues.
MAX_OUTPUT_BYTES = 8 << 20
# A background job may hold the streams open. What the shell itself printed is on its way when it has ended: reading
# ends when nothing came for this long, and with a job that goes on printing after that long at the latest.
QUIET_S, LAST_OUTPUT_S = 1.0, 5.0
# Nothing that can be polled tells that the shell has ended while a job holds its streams.
EXIT_LOOK_S = 0.1
SHOWN_BYTES = 300


@dataclass(frozen=True)
class Result:
    """The output and exit code of a script in the guest; -1 if a signal killed its shell."""

    stdout: str
    stderr: str
    exit_code: int


class _Stream:
    """One of the two streams: its first MAX_OUTPUT_BYTES, and the number of further bytes."""

    def __init__(self, ready: Callable[[], bool], receive: Callable[[int], bytes]) -> None:
        self._ready, self._receive = ready, receive
        self._data = bytearray()
        self._cut_bytes = 0

    def drain(self) -> bool:
        """Read what is available, at most one chunk; returns whether there was anything."""
        if not self._ready():
            return False
        chunk = self._receive(CHUNK_BYTES)
        room = MAX_OUTPUT_BYTES - len(self._data)
        self._data += chunk[:room]
        self._cut_bytes += max(0, len(chunk) - room)
        return bool(chunk)

    def text(self) -> str:
        """The stored output, with a notice if anything was cut."""
        kept = codecs.decode(bytes(self._data), "utf-8", "replace")
        return kept + (f"\n{cut_notice(self._cut_bytes, 'bytes')}\n" if self._cut_bytes else "")

    def last(self) -> bytes:
        """The last bytes, for error messages."""
        return bytes(self._data[-SHOWN_BYTES:])


def run_script(channel: paramiko.Channel, script: str, timeout_s: float) -> Result:
    """Send a script to a shell and read its output until it ends.

    Raises TimeoutError with what was printed last, EOFError if the connection ended before the script did, and what
    paramiko raises.
    """
    deadline_s = time.monotonic() + timeout_s
    channel.settimeout(timeout_s)
    # Standard input carries the script: no quoting, no limit on its length.
    channel.exec_command("sh -s")
    threading.Thread(target=_feed, args=(channel, script), name="script", daemon=True).start()
    stdout = _Stream(channel.recv_ready, channel.recv)
    stderr = _Stream(channel.recv_stderr_ready, channel.recv_stderr)
    try:
        _read(channel, (stdout, stderr), deadline_s)
    except TimeoutError:
        raise TimeoutError(
            f"timed out after {timeout_s:g} s; last printed: {stdout.last()!r}, on standard error: {stderr.last()!r}"
        ) from None
    if channel.exit_status == -1 and not channel.eof_received:
        raise EOFError("the SSH connection ended before the script did")
    return Result(stdout.text(), stderr.text(), channel.exit_status)


def _feed(channel: paramiko.Channel, script: str) -> None:
    """Send on a separate thread: a shell that prints much before it has read everything would block otherwise."""
    try:
        channel.sendall(script.encode())
        channel.shutdown_write()
    except (OSError, EOFError, paramiko.SSHException):
        return  # the shell or the connection has ended: the reader finds out which


def _read(channel: paramiko.Channel, streams: tuple[_Stream, _Stream], deadline_s: float) -> None:
    """Read both streams until they and the shell have ended, or only a background job holds them open."""
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    exited_s: float | None = None
    last_read_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        if now_s >= deadline_s:
            raise TimeoutError
        # Checked first: output that arrives after the streams were read must not be lost.
        ended = channel.eof_received or channel.closed
        if sum(stream.drain() for stream in streams):
            last_read_s = now_s
        elif ended:
            break
        else:
            poller.poll(1000 * min(EXIT_LOOK_S, deadline_s - now_s))
        if channel.exit_status_ready():
            exited_s = exited_s or now_s
            if now_s - max(exited_s, last_read_s) >= QUIET_S or now_s - exited_s >= LAST_OUTPUT_S:
                return
    if not channel.status_event.wait(deadline_s - time.monotonic()):
        raise TimeoutError
