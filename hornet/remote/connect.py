"""Connections to the hosts of a fleet, by fabric. A host is known by its key; one that falls silent is noticed."""

from __future__ import annotations

import shlex
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import paramiko
from fabric import Config, Connection, Result
from invoke.exceptions import CommandTimedOut, ThreadException

from hornet.errors import HornetError, HostError
from hornet.remote.hosts import RemoteHost, known_key
from hornet.text import one_line

CONNECT_TIMEOUT_S = 30
KEEPALIVE_S = 5
# A host that acknowledges nothing for this long is lost.
LOST_AFTER_S = 30
# Of both streams of one command: a run prints some hundred KiB.
MAX_OUTPUT_CHARACTERS = 4 << 20
MAX_LINE_CHARACTERS = 300
MS_PER_S = 1000
# timeout(1): the time is over; with --kill-after, also that of a killed command.
TIME_IS_OVER = (124, 137)
# The command ends with the connection: then standard input ends, and the run gets a SIGINT.
_ENDS_WITH_US = """exec 3<&0
{command} </dev/null & run=$!
{{ read -r _ <&3; kill -INT $run; }} 2>/dev/null & watch=$!
wait $run; code=$?
kill $watch 2>/dev/null; exit $code"""


class HostConnection(Connection):  # type: ignore[misc]  # fabric has no types
    """A connection to one host, whose lines are shown as they come. Use it in fabric's groups."""

    host_name: str = ""
    remote: RemoteHost | None = None
    on_line: Callable[[str], None] | None = None

    def open(self) -> Any:
        """Connect, then keep packets going in both directions. Raises like fabric."""
        opened = super().open()
        self.transport.set_keepalive(KEEPALIVE_S)
        return opened

    def run(self, command_of: Callable[[str, RemoteHost], str], *, shown: bool, timeout: float) -> Any:
        """Run a shell command, made for this host, with its HORNET_HOME. shown: whether its lines are.

        Raises like fabric, but not for an exit code, and HostError for a flood of output.
        """
        assert self.remote
        stream = Lines(self.on_line if shown and self.on_line else lambda line: None)
        return super().run(
            command_of(self.host_name, self.remote),
            env={"HORNET_HOME": self.remote.hornet_home, "HORNETOS": self.remote.command},
            out_stream=stream,
            err_stream=stream,
            in_stream=False,
            encoding="utf-8",
            timeout=timeout,
            warn=True,
        )


class Lines:
    """Shows what a host prints, line by line, up to a limit. Two threads write to it: output and errors."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._left = MAX_OUTPUT_CHARACTERS
        self._line = ""

    def write(self, text: str) -> None:
        """Add text. Raises HostError if it is too much."""
        with self._lock:
            self._left -= len(text)
            if self._left < 0:
                raise HostError(f"it printed more than {MAX_OUTPUT_CHARACTERS} characters", "look at that host")
            *lines, rest = (self._line + text).split("\n")
            self._line = rest[-MAX_LINE_CHARACTERS:]
            for line in lines:
                if line.strip():
                    self._show(one_line(line.strip(), MAX_LINE_CHARACTERS))

    def flush(self) -> None:
        """Nothing to do: whole lines are shown at once."""


def connect(name: str, host: RemoteHost, on_line: Callable[[str], None]) -> HostConnection:
    """A connection that fabric opens at the first command; it accepts the known host key only."""
    connection = HostConnection(
        host.address,
        user=host.user,
        port=host.port,
        connect_timeout=CONNECT_TIMEOUT_S,
        config=Config(overrides={"load_ssh_configs": False}),
        connect_kwargs={
            "key_filename": str(host.key),
            "look_for_keys": False,
            "allow_agent": False,
            "banner_timeout": CONNECT_TIMEOUT_S,
            "auth_timeout": CONNECT_TIMEOUT_S,
            "transport_factory": _Transport,
        },
    )
    connection.host_name, connection.remote, connection.on_line = name, host, on_line
    client = connection.client
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    known = host.address if host.port == paramiko.config.SSH_PORT else f"[{host.address}]:{host.port}"
    key = known_key(host.host_key)
    client.get_host_keys().add(known, key.get_name(), key)
    return connection


class _Transport(paramiko.Transport):
    """A host that acknowledges nothing any more, such as one without power, ends the connection."""

    def __init__(self, sock: socket.socket, **named: Any) -> None:
        super().__init__(sock, **named)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_AFTER_S * MS_PER_S)
        self.handshake_timeout = CONNECT_TIMEOUT_S


def shell_command(words: Sequence[str], limit_s: float, clean_up_s: float) -> str:
    """A command for a host's shell: the suite with these words. It ends with its time, and with the connection."""
    timed = ["timeout", "--signal=INT", f"--kill-after={clean_up_s:g}", f"{limit_s:g}"]
    return _ENDS_WITH_US.format(command=f'{shlex.join(timed)} "$HORNETOS" {shlex.join(words)}')


def reason_of(error: BaseException) -> str:
    """Why a host did not do its part, as a sentence."""
    if isinstance(error, ThreadException):
        return reason_of(error.exceptions[0].value)
    if isinstance(error, HornetError):
        return error.message
    if isinstance(error, CommandTimedOut):
        return f"slow: no answer within {error.timeout:g} s"
    if isinstance(error, paramiko.BadHostKeyException):
        return (
            f"wrong host key: it showed {error.key.get_name()} {error.key.fingerprint}, expected "
            f"{error.expected_key.get_name()} {error.expected_key.fingerprint}"
        )
    if isinstance(error, paramiko.AuthenticationException):
        return f"it does not let us in: {error}"
    if isinstance(error, TimeoutError):
        return f"unreachable: no answer within {CONNECT_TIMEOUT_S} s"
    if isinstance(error, OSError):
        return f"unreachable: {error.strerror or error}"
    if isinstance(error, EOFError):
        return "lost: the connection ended"
    return f"{type(error).__name__}: {error}" if isinstance(error, paramiko.SSHException) else repr(error)


def exit_reason(result: Result) -> str:
    """Why a command that ended did not do its part, as a sentence."""
    said = next((line for line in reversed(result.stderr.splitlines()) if line.strip()), "")
    if result.exited < 0:
        return "lost: the connection ended before the command did"
    if result.exited in TIME_IS_OVER:
        return "slow: it did not end within the plan's limit, and was ended"
    return f"exit code {result.exited}" + (f": {one_line(said.strip(), MAX_LINE_CHARACTERS)}" if said else "")
