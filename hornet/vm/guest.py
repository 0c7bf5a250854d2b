"""A guest over SSH. Every VM has the address 10.0.0.2, so each is reached from inside its own namespace."""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection
from filelock import FileLock

from hornet.errors import CommandError, GuestError, HornetError, NetworkError
from hornet.foreign_file import ForeignFileError, read_bytes, read_text
from hornet.host.durable import sync, sync_tree
from hornet.host.emulation import patient_s
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE
from hornet.host.owned import work_directory
from hornet.host.proc import run
from hornet.host.workspace import Workspace
from hornet.network import VMNamespace
from hornet.spec.snapshots import Sign
from hornet.vm.guest_script import Result, run_script
from hornet.vm.probes import Probe, ProbeResults, build_script, new_boundary, parse_answers
from hornet.vmm.failure import FailureSignal

SSH_PORT = 22
# A key has some KiB.
MAX_KEY_BYTES = 64 << 10
USER = "root"
KEY_NAME = "id_ed25519"
RETRY_S = 0.02
CHEAP_KEY_EXCHANGE = "ecdh-sha2-nistp256"
CHUNK_BYTES = 1 << 16
PING_INTERVAL_S = 0.01
# A guest that answers pings does so in this time; one that ignores them is then asked in another way.
PING_ALONE_S = 1.0
DEFAULT_SIGNS: Collection[Sign] = ("ping", "port")
# Of a failed script, and of what it printed.
SHOWN_CHARACTERS = 300
# ICMP echo request, code 0, with its checksum; identifier and sequence 0 (RFC 792).
ECHO_REQUEST = bytes([8, 0, 0xF7, 0xFF, 0, 0, 0, 0])


@dataclass(frozen=True)
class SshKey:
    """An SSH key pair. public_blob: the second field of the public key's line."""

    private_path: Path
    public_blob: str


def ssh_key(workspace: Workspace) -> SshKey:
    """The key pair of a HORNET_HOME, created on first use."""
    private = workspace.keys / KEY_NAME
    # Under a lock: two workers that create it at once would leave one with a key that no guest accepts.
    with FileLock(private.with_suffix(".lock")):
        if private.exists() and not private.stat().st_size:
            private.unlink()  # empty after a power cut: no guest accepts it
        if not private.exists():
            _make_key(private)
    return read_ssh_key(private)


def _make_key(private: Path) -> None:
    """Create a pair; never replaces an existing private key. Raises OSError."""
    with work_directory(private.parent, KEY_NAME, PRIVATE_DIRECTORY_MODE) as work:
        made = work / KEY_NAME
        run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hornetos", "-f", made],
            timeout_s=30,
            hint=f"make {private.parent} writable, with free space",
        )
        sync_tree(work)
        try:
            private.hardlink_to(made)
        except FileExistsError:
            return  # somebody deleted the lock file, and another process was faster
        made.with_suffix(".pub").replace(private.with_suffix(".pub"))
        sync(private.parent)


def read_ssh_key(private: Path) -> SshKey:
    """A key pair made elsewhere, given by its private file. Raises GuestError if it needs a passphrase."""
    try:
        read_bytes(private, MAX_KEY_BYTES)
        public = run(["ssh-keygen", "-y", "-P", "", "-f", private], timeout_s=30).output
        return SshKey(private.resolve(), _public_blob(public))
    except ForeignFileError as error:
        raise GuestError(error.message, "name a private SSH key") from error
    except CommandError as error:
        raise GuestError(
            f"{private}: not a private SSH key without a passphrase: {error.message.splitlines()[-1].strip(' |')}",
            "name another; its permissions must be 0600",
        ) from error


def read_public_key(file: Path) -> str:
    """The base64 part of a public SSH key. Raises GuestError if the file has none."""
    try:
        return _public_blob(read_text(file, MAX_KEY_BYTES))
    except (ForeignFileError, GuestError) as error:
        named = error.message if str(file) in error.message else f"{file}: {error.message}"
        raise GuestError(named, "name a public SSH key, as in id_ed25519.pub") from error


def _public_blob(text: str) -> str:
    """The second word of a public key's line: its type and itself in base64 (RFC 4253, 6.6)."""
    words = text.split()
    if len(words) < 2 or not re.fullmatch(r"[A-Za-z0-9+/]{40,}=*", words[1]):
        raise GuestError(f"not a public SSH key: {text.strip()[:60]!r}", "make a key: ssh-keygen -t ed25519")
    return words[1]


class Guest:
    """One guest. The SSH connection is opened on first use and kept; each run() is one round trip."""

    def __init__(self, namespace: VMNamespace, address: str, key: SshKey, failure: FailureSignal | None = None) -> None:
        """failure: of the guest's VM; None for a VM of another process, whose failure is not reported here."""
        self._failure = FailureSignal(namespace.name) if failure is None else failure
        self.namespace = namespace
        self.address = address
        self.key = key
        self._connection: Connection | None = None

    def await_port(self, timeout_s: float) -> None:
        """Wait until the guest accepts TCP connections to its SSH port.

        Raises GuestError with what was seen last, VMFailedError.
        """
        timeout_s = patient_s(timeout_s)
        with self._explained(f"waiting for port {SSH_PORT}"):
            self._await_socket(timeout_s).close()

    def _await_socket(self, timeout_s: float) -> socket.socket:
        """The first connection that the guest's SSH port accepts. Raises GuestError with what was seen last."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                return self._socket(max(0.05, deadline_s - time.monotonic()))
            except OSError as error:
                if time.monotonic() >= deadline_s:
                    raise GuestError(
                        f"{self._who()}: timed out after {timeout_s:g} s waiting for SSH (port {SSH_PORT}), last "
                        f"seen: {error}{self._failure.stopped()}",
                        "read the guest's console: did it boot, does sshd run, does eth0 have its address?",
                        # A guest that refuses connections is not too slow.
                        timed_out=not isinstance(error, ConnectionRefusedError),
                    ) from error
                # A connection is refused at once while sshd does not listen yet.
                time.sleep(RETRY_S)

    def await_reply(self, timeout_s: float, signs: Collection[Sign] = DEFAULT_SIGNS) -> None:
        """Wait for the guest's first sign of life on the network, whichever of `signs` comes first.

        A TCP connection costs the guest a process of sshd, so its port is tried only when a ping had its time. Raises
        GuestError, VMFailedError.
        """
        with self._explained(f"waiting for the reply to a {' or a '.join(signs)}"):
            self._await_reply(patient_s(timeout_s), signs)

    def _await_reply(self, timeout_s: float, signs: Collection[Sign]) -> None:
        deadline_s = time.monotonic() + timeout_s
        next_try_s = time.monotonic() + ("ping" in signs) * PING_ALONE_S
        with self.namespace.make_socket(socket.SOCK_RAW, socket.IPPROTO_ICMP) as ping:
            ping.settimeout(PING_INTERVAL_S)
            while time.monotonic() < deadline_s and not self._failure.failed:
                if "ping" in signs and self._answers_a_ping(ping):
                    return
                if time.monotonic() >= next_try_s:
                    if self._answers_a_connection(signs, deadline_s):
                        return
                    next_try_s = time.monotonic() + (PING_ALONE_S if "ping" in signs else RETRY_S)
        raise GuestError(
            f"{self._who()}: timed out after {timeout_s:g} s waiting for the reply to a {' or a '.join(signs)}"
            f"{self._failure.stopped()}",
            "read the guest's console: does it run, does eth0 have its address? What counts as a reply is "
            "snapshot.ready_by of the specification",
            timed_out=True,
        )

    def _answers_a_ping(self, ping: socket.socket) -> bool:
        try:
            ping.sendto(ECHO_REQUEST, (self.address, 0))
            return _is_echo_reply(ping.recv(CHUNK_BYTES))
        except TimeoutError:
            return False
        except OSError:
            time.sleep(PING_INTERVAL_S)  # the address is not yet resolved
            return False

    def _answers_a_connection(self, signs: Collection[Sign], deadline_s: float) -> bool:
        """Whether its SSH port accepts, or a command runs, as far as these are signs."""
        try:
            if "port" in signs:
                self._socket(min(PING_ALONE_S, max(RETRY_S, deadline_s - time.monotonic()))).close()
                return True
            if "ssh" in signs:
                self.run("true", max(RETRY_S, deadline_s - time.monotonic()))
                return True
        except (GuestError, OSError):
            pass
        return False

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until a command runs over SSH. Raises GuestError.

        The first connection that is accepted is the one that logs in: each costs the guest a process of sshd.
        """
        began_s = time.monotonic()
        with self._explained("logging in"), _as_ssh_errors():
            self._open(patient_s(timeout_s), self._await_socket)
        self.run("true", max(1.0, timeout_s - (time.monotonic() - began_s)))

    def run(self, script: str, timeout_s: float) -> Result:
        """Run a shell script in the guest; its exit code is the caller's to judge.

        Raises GuestError when the guest can't be reached, the key is refused, the connection ends or the time is
        over, VMFailedError.
        """
        timeout_s = patient_s(timeout_s)
        doing = f"running a script of {len(script)} characters, limit {timeout_s:g} s"
        with self._explained(doing), self._session(timeout_s) as channel:
            return run_script(channel, script, timeout_s)

    def check_output(self, script: str, timeout_s: float) -> str:
        """The standard output of a shell script that must succeed. Raises like run(), and GuestError if it fails."""
        result = self.run(script, timeout_s)
        if result.exit_code != 0:
            shown, said = script.strip()[:SHOWN_CHARACTERS], (result.stderr or result.stdout)[-SHOWN_CHARACTERS:]
            raise GuestError(
                f"a script in the guest: exit code {result.exit_code}, expected 0: {shown!r} printed {said!r}",
                "log in and run it by hand",
            )
        return result.stdout

    def ask(self, probes: list[Probe], environment: dict[str, str], timeout_s: float) -> ProbeResults:
        """Ask all probes in one round trip."""
        boundary = new_boundary()
        return parse_answers(self.run(build_script(probes, environment, boundary), timeout_s).stdout, boundary)

    def host_key(self, timeout_s: float) -> str:
        """The guest's SSH host key, as `type base64`. Raises like run()."""
        with self._explained("asking for its host key"), _as_ssh_errors():
            key = self._transport(patient_s(timeout_s)).get_remote_server_key()
            return f"{key.get_name()} {key.get_base64()}"

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Convert an exception of the block into its reason: the VM's failure if there is one."""
        self._failure.check(doing)
        try:
            yield
        except (GuestError, NetworkError, OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            if self._failure.failed:
                raise self._failure.error(doing) from error
            if isinstance(error, GuestError | NetworkError):
                raise
            timed_out = _is_timeout(error)
            if isinstance(error, paramiko.AuthenticationException) and not timed_out:
                raise GuestError(
                    f"{self._who()}: {USER} does not accept the key {self.key.private_path}: {error}",
                    "name the private key that the guest accepts (pytest: --ssh-key=FILE)",
                ) from error
            said = str(error) or type(error).__name__
            message = f"{self._who()}: {said} ({doing}){self._failure.stopped()}"
            raise GuestError(message, "look at the guest's console", timed_out=timed_out) from error

    def _session(self, timeout_s: float) -> paramiko.Channel:
        with _as_ssh_errors():
            return self._transport(timeout_s).open_session(timeout=timeout_s)

    def _transport(self, timeout_s: float) -> paramiko.Transport:
        transport: paramiko.Transport | None = self._open(timeout_s).client.get_transport()
        if transport is None:
            raise EOFError("the SSH connection has just ended")
        return transport

    def _open(self, timeout_s: float, connect: Callable[[float], socket.socket] | None = None) -> Connection:
        """The connection. connect: makes its socket in the given time; by default one try."""
        if self._connection is None or not self._connection.is_connected:
            # Every VM makes its own host key at boot and has the same address, so there is no key to know beforehand;
            # the socket, made inside the VM's namespace, is what says which VM this is.
            connection = Connection(
                self.address,
                user=USER,
                config=Config(overrides={"load_ssh_configs": False}),
                connect_kwargs={
                    "sock": (connect or self._socket)(timeout_s),
                    "key_filename": str(self.key.private_path),
                    "look_for_keys": False,
                    "allow_agent": False,
                    "banner_timeout": timeout_s,
                    "auth_timeout": timeout_s,
                    "transport_factory": partial(HandshakeTransport, timeout_s),
                },
            )
            connection.client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            try:
                connection.open()
            except EOFError:
                transport = connection.client.get_transport()
                if transport and transport.packetizer.handshake_timed_out():
                    raise TimeoutError(f"timed out after {timeout_s:g} s in the SSH handshake") from None
                raise
            self._connection = connection
        return self._connection

    def _socket(self, timeout_s: float) -> socket.socket:
        return self.namespace.connect(self.address, SSH_PORT, timeout_s)

    def _who(self) -> str:
        return f"guest {self.address} in namespace {self.namespace.name}"


class HandshakeTransport(paramiko.Transport):
    """Paramiko's own limit for the handshake is 15 s, and looks like the end of the connection.

    Its first choice of a key exchange, Curve25519, is plain C in OpenSSH, and assembly in OpenSSL is many times faster.
    """

    def __init__(self, handshake_timeout_s: float, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.handshake_timeout = handshake_timeout_s
        options = self.get_security_options()
        options.kex = sorted(options.kex, key=lambda name: name != CHEAP_KEY_EXCHANGE)


@contextmanager
def _as_ssh_errors() -> Iterator[None]:
    """Paramiko raises whatever its reading thread met in what a guest sent: UnicodeDecodeError, ValueError, …"""
    try:
        yield
    except (HornetError, OSError, EOFError, paramiko.SSHException):
        raise
    except Exception as error:
        raise paramiko.SSHException(f"it speaks SSH wrongly: {type(error).__name__}: {error}") from error


def _is_timeout(error: BaseException) -> bool:
    """Whether a time limit of ours ended it, or the kernel's for the answer to an ARP request (EHOSTUNREACH).

    Paramiko has no type of its own for that: a late banner has a TimeoutError as its context, a late answer to a
    channel or a login only the word.
    """
    if isinstance(error, TimeoutError) or getattr(error, "errno", None) == errno.EHOSTUNREACH:
        return True
    return isinstance(error, paramiko.SSHException) and (
        isinstance(error.__context__, TimeoutError) or "timeout" in str(error).lower()
    )


def _is_echo_reply(packet: bytes) -> bool:
    header_bytes = (packet[0] & 0x0F) * 4
    return packet[header_bytes : header_bytes + 1] == b"\x00"
