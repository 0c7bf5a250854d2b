"""Processes foreign bytes without rights: a function runs in a process that can reach only its inputs.

Images, kernels and file systems from elsewhere are hostile data, and so is the disk of a guest with root. Programs and
parsers that read them (e2fsck, libext2fs, ELF, decompressors) run in a worker process. bubblewrap gives it its own
mount, network, PID, IPC and UTS namespaces. The worker (see worker.py) gives up root for an otherwise unused user
before it reads a foreign byte. It can write a private copy and a small tmpfs, and it answers with JSON of bounded size.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar, get_type_hints

from pydantic import TypeAdapter

from hornet import errors
from hornet.errors import HornetError, HostError, SandboxError
from hornet.host.environment import FIXED_LOCALE
from hornet.host.proc import ending
from hornet.sandbox.serialized_error import SerializedError

T = TypeVar("T")

BINARY = "bwrap"
PACKAGE = Path(errors.__file__).parent
# The package's path in the sandbox: a checkout may be in a home directory that other users cannot enter.
INSIDE = Path("/suite")
# Not /tmp: it would hide a suite or an environment that is there.
SCRATCH = Path("/scratch")
# Numeric user ids that no distribution, no container manager and no VMM of the suite uses.
FIRST_USER = 1_950_000_000
USERS = 1 << 24
MAX_ANSWER_BYTES = 64 << 20
CHUNK_BYTES = 1 << 16
SHOWN_BYTES = 2000
# For starting the worker and giving up rights, in addition to the time for its work.
START_S = 15.0


@dataclass(frozen=True)
class Limits:
    """The resources of confined work.

    memory_bytes: address space of each process. file_bytes: the largest file that it may write. scratch_bytes: size of
    the tmpfs, the only writable directory.
    """

    time_s: float = 120.0
    memory_bytes: int = 2 << 30
    file_bytes: int = 0
    scratch_bytes: int = 16 << 20
    processes: int = 16
    open_files: int = 64

    def writing(self, file_bytes: int) -> Limits:
        """The same limits, but files of this size are allowed."""
        return replace(self, file_bytes=file_bytes)


def confined(
    function: Callable[..., T],
    arguments: Mapping[str, Any],
    *,
    what: str,
    limits: Limits,
    inputs: Mapping[str, BinaryIO] | None = None,
    copies: Mapping[str, BinaryIO] | None = None,
    programs: Path | None = None,
) -> T:
    """Call `function(**arguments, **descriptors)` in a worker without rights and return its answer.

    Arguments and answer must be representable as JSON. inputs: open files that the worker reads by their descriptors.
    copies: private files that it may write and reopen; they are given to its user. programs: a directory
    with programs that it may run, seen read-only under its own path. what: the name of the foreign thing,
    for errors. Raises the HornetError that the function raised, SandboxError if it exceeded a limit or crashed, and
    HostError if this host cannot confine anything.
    """
    user = FIRST_USER + secrets.randbelow(USERS) if os.geteuid() == 0 else None
    if user is not None:
        for copy in (copies or {}).values():
            os.fchown(copy.fileno(), user, user)
    request = {
        "function": [function.__module__, function.__qualname__],
        "arguments": dict(arguments),
        "descriptors": {name: file.fileno() for name, file in {**(inputs or {}), **(copies or {})}.items()},
        "user": user,
        "limits": asdict(limits),
    }
    exit_code, answer, words = _run(_command(user is None, limits, programs), request, limits.time_s + START_S, what)
    return _answer(function, answer, exit_code, words, limits, what)


def _command(unprivileged: bool, limits: Limits, programs: Path | None) -> list[str]:
    """The bubblewrap command: what the worker sees. Root keeps only the capabilities that giving up root needs."""
    seen = ["/usr", "/etc/ld.so.cache", "/etc/mke2fs.conf", sys.base_prefix, sys.prefix]
    if programs:
        seen.append(str(programs))
    shown = [Path(path) for path in dict.fromkeys(seen) if Path(path).exists()]
    # Without these, bubblewrap creates the parent directories for root only.
    above = sorted({parent for path in shown for parent in path.parents})
    directories = [word for parent in above[1:] for word in ("--perms", "0755", "--dir", str(parent))]
    binds = [word for path in shown for word in ("--ro-bind", str(path), str(path))]
    links = [
        word
        for name in ("bin", "sbin", "lib", "lib64")
        if Path("/", name).exists()
        for word in (
            ("--symlink", f"usr/{name}", f"/{name}")
            if Path("/", name).is_symlink()
            else ("--ro-bind", f"/{name}", f"/{name}")
        )
    ]
    rights = ["--unshare-user"] if unprivileged else ["--cap-drop", "ALL"]
    if not unprivileged:
        # DAC_READ_SEARCH: possibly only their owner can read the suite's modules.
        for right in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH"):
            rights += ["--cap-add", right]
    return [
        *(BINARY, "--die-with-parent", "--new-session", "--clearenv"),
        *("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *rights,
        *directories,
        *binds,
        *links,
        *("--ro-bind", str(PACKAGE), str(INSIDE / PACKAGE.name)),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(limits.scratch_bytes), "--perms", "1777", "--tmpfs", str(SCRATCH)),
        *("--setenv", "PATH", "/usr/sbin:/usr/bin", "--setenv", "HOME", str(SCRATCH)),
        *(word for name, value in FIXED_LOCALE.items() for word in ("--setenv", name, value)),
        *("--setenv", "PYTHONPATH", str(INSIDE), "--setenv", "PYTHONDONTWRITEBYTECODE", "1"),
        *("--setenv", "TMPDIR", str(SCRATCH), "--chdir", str(SCRATCH)),
        *(sys.executable, "-m", "hornet.sandbox.worker"),
    ]


def _run(command: list[str], request: Mapping[str, Any], time_s: float, what: str) -> tuple[int, bytes, str]:
    """Run a worker; returns exit code, answer and the end of its standard error. It never outlives this call."""
    with tempfile.TemporaryFile() as question:
        question.write(json.dumps(request).encode())
        question.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=question,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=tuple(request["descriptors"].values()),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise HostError(
                f"{BINARY}: not found: {what} is not read without it", "apt-get install bubblewrap"
            ) from error
    with process:
        try:
            answer, words = _listen(process, time_s, what)
        finally:
            # The PID namespace and everything in it end with bubblewrap's second process. That one dies with the first
            # process, but not during its start, so both are killed. No Ctrl-C reaches the first process alone.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, answer, words.decode("utf-8", "replace").strip()


def _listen(process: subprocess.Popen[bytes], time_s: float, what: str) -> tuple[bytes, bytes]:
    """Read both streams to their ends; returns the complete answer and the end of standard error."""
    assert process.stdout
    assert process.stderr
    answer, words = bytearray(), bytearray()
    deadline_s = time.monotonic() + time_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, answer)
        selector.register(process.stderr, selectors.EVENT_READ, words)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline_s - time.monotonic()))
            if not ready:
                raise SandboxError(f"{what}: reading it timed out after {time_s:g} s", "it cannot be judged")
            for key, _ in ready:
                chunk = os.read(key.fd, CHUNK_BYTES)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            if len(answer) > MAX_ANSWER_BYTES:
                raise SandboxError(
                    f"{what}: its description has more than {MAX_ANSWER_BYTES} bytes", "it cannot be judged"
                )
            del words[:-SHOWN_BYTES]
    process.wait()
    return bytes(answer), bytes(words)


def _answer(function: Callable[..., T], raw: bytes, exit_code: int, words: str, limits: Limits, what: str) -> T:
    if not raw and words.startswith(f"{BINARY}:"):
        raise HostError(
            f"this host cannot confine programs, so {what} is not read: {words}",
            "run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns)",
        )
    if not raw:
        # The last line of a traceback has the reason.
        why = f": {words.splitlines()[-1]}" if words else ""
        raise SandboxError(
            f"{what}: the process that reads it ended without an answer ({ending(exit_code)}){why}",
            f"it cannot be judged; it may use {limits.memory_bytes >> 20} MiB and {limits.time_s:g} s",
        )
    try:
        # Not foreign_file's parser: a file name that is not UTF-8 has lone surrogates.
        answer = TypeAdapter(dict[Literal["result", "error"], Any]).validate_python(json.loads(raw))
        if "error" in answer:
            raise deserialize_error(TypeAdapter(SerializedError).validate_python(answer["error"]), what)
        # A subverted worker may answer anything: accept only the return type of the function.
        promised = getattr(function, "__annotations__", {}) and get_type_hints(function)["return"]
        found: T = TypeAdapter(promised or Any).validate_python(answer.get("result"))
    except (ValueError, RecursionError) as error:  # pydantic's ValidationError is a ValueError
        raise SandboxError(f"{what}: reading it gave an invalid answer: {error}", "it cannot be judged") from error
    return found


def deserialize_error(error: SerializedError, what: str) -> HornetError:
    """The error that a worker reported, with its class if it is a HornetError. what: the foreign thing's name."""
    kind = getattr(sys.modules.get(error.module), error.name, None)
    if not (isinstance(kind, type) and issubclass(kind, HornetError)):
        kind = SandboxError
    return kind(f"{what}: {error.message}", error.hint)
