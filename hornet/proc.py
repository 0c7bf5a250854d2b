"""Run a command of the host: bounded in time, logged, its whole process group ended on any failure."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil

from hornet.command_output import MAX_OUTPUT_BYTES, Output, TooMuchOutputError, exchange
from hornet.errors import CommandError


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

    `env` is laid over the current environment; `log` receives the output as it comes (appended);
    `on_line` is called with each line, for progress. On a timeout, an exception or Ctrl-C the process
    group is killed, as is a background job that the command leaves behind. Raises CommandError for a
    missing command, a timeout, too much output, or an exit code that is not in `ok_codes`, with the last
    lines of its output.
    """
    words = tuple(str(word) for word in argv)
    with log.open("a", encoding="utf-8") if log else nullcontext() as sink:
        output = Output(sink, on_line)
        with _start(words, cwd, env, input_text is not None, hint) as process:
            try:
                exit_code = exchange(process, (input_text or "").encode(), output, timeout_s)
            except subprocess.TimeoutExpired:
                raise CommandError(f"{shlex.join(words)}: no end within {timeout_s:g} s{output.tail()}", hint) from None
            except TooMuchOutputError:
                limit_mib = MAX_OUTPUT_BYTES >> 20
                raise CommandError(
                    f"{shlex.join(words)}: killed, as it printed more than {limit_mib} MiB{output.tail()}", hint
                ) from None
            finally:
                _kill_group(process)
    if exit_code not in ok_codes:
        raise CommandError(
            f"{shlex.join(words)}: exit code {exit_code}{output.tail()}" + (f"\n  log: {log}" if log else ""),
            hint,
        )
    return Completed(words, exit_code, output.text)


def _start(
    words: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None, has_input: bool, hint: str
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        missing = error.filename if error.filename is not None else words[0]
        raise CommandError(f"{missing}: not found", hint or f"install the package that provides {words[0]}") from None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it started: an interrupted build must not go on in the background."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def is_running(pid: int) -> bool:
    """Whether a process runs. One that has ended does not, though nobody waits for it: a container may have no init."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
