"""Run a command of the host: bounded in time, logged, and ended with everything that it has started."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil

from hornet.errors import CommandError
from hornet.host.command_output import MAX_OUTPUT_BYTES, Output, TooMuchOutputError, exchange
from hornet.host.environment import child_environment
from hornet.host.interrupts import before_interrupt

# -I, -S: without the user's settings and site-packages it starts in a third of the time.
SUPERVISOR = (sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py")))
# A process that the kernel holds, in a system call that can't be interrupted, is not waited for.
END_TIMEOUT_S = 10.0
# What shells and bubblewrap add to the signal that has ended their child.
SHELL_SIGNAL_BASE = 128

_running: set[subprocess.Popen[bytes]] = set()
_stopping = False


@dataclass(frozen=True)
class Completed:
    """A command that ended: exit code, and its standard output and error merged, as text."""

    argv: tuple[str, ...]
    exit_code: int
    output: str


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input_text: str | None = None,
    ok_codes: Sequence[int] = (0,),
    on_line: Callable[[str], None] | None = None,
    hint: str = "",
) -> Completed:
    """Run `argv` to its end and return what it printed.

    `env` is laid over child_environment(); `log` receives the output as it
    comes (appended); `on_line` is called with each line, for progress. Nothing that the command has started outlives
    it, nor this call, nor this process, however that ends (hornet/host/supervisor.py). Raises CommandError for a
    missing command, a timeout, too much output, or an exit code that is not in `ok_codes`, with the last
    lines of its output, and in threads of a run that is being interrupted.
    """
    words = tuple(str(word) for word in argv)
    with log.open("a", encoding="utf-8") if log else nullcontext() as sink:
        output = Output(sink, on_line)
        scratch = Path(tempfile.gettempdir(), f"hornetos-{os.getpid()}-{secrets.token_hex(4)}")
        with _start(words, scratch, cwd, env, input_text is not None, hint) as process:
            try:
                exit_code = exchange(process, (input_text or "").encode(), output, timeout_s)
            except subprocess.TimeoutExpired:
                raise CommandError(
                    f"{shlex.join(words)}: timed out after {timeout_s:g} s{output.tail()}", hint
                ) from None
            except TooMuchOutputError:
                limit_mib = MAX_OUTPUT_BYTES >> 20
                raise CommandError(
                    f"{shlex.join(words)}: killed, as it printed more than {limit_mib} MiB{output.tail()}", hint
                ) from None
            finally:
                _end(process)
                # Gone already, unless somebody has killed the supervisor.
                shutil.rmtree(scratch, ignore_errors=True)
    if exit_code not in ok_codes:
        raise CommandError(
            f"{shlex.join(words)}: {ending(exit_code)}{output.tail()}" + (f"\n  log: {log}" if log else ""),
            hint,
        )
    return Completed(words, exit_code, output.text)


def _start(
    words: Sequence[str],
    scratch: Path,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    has_input: bool,
    hint: str,
) -> subprocess.Popen[bytes]:
    if _stopping and threading.current_thread() is not threading.main_thread():
        raise CommandError(f"{words[0]}: not started: the run is ending")
    environment = child_environment(env)
    # In the command's directory if the path is relative, as execvp(3) does it.
    program = words[0] if "/" not in words[0] or cwd is None else cwd / words[0]
    if shutil.which(program, path=environment.get("PATH")) is None:
        raise CommandError(f"{words[0]}: not found", hint or f"install the package that provides {words[0]}")
    # Until the supervisor can be ended by one without a traceback.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(
            [*SUPERVISOR, str(os.getpid()), str(scratch), *words],
            cwd=cwd,
            env=environment,
            start_new_session=True,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise CommandError(f"{error.filename}: not found", hint) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _running.add(process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it started: an interrupted build must not go on in the background."""
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        _running.discard(process)


def stop_commands() -> None:
    """End every command that runs, and let no thread but the main one start another: the run is being interrupted."""
    global _stopping
    _stopping = True
    for process in list(_running):
        process.terminate()


before_interrupt(stop_commands)


def ending(exit_code: int) -> str:
    """How a process ended, in words: its exit code as subprocess gives it, or as a program passes on its child's."""
    number = -exit_code if exit_code < 0 else exit_code - SHELL_SIGNAL_BASE
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"exit code {exit_code}"


def is_running(pid: int) -> bool:
    """Whether a process runs. One that has ended does not, though nobody waits for it: a container may have no init."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
