"""Run a command of the host: bounded in time, logged, its whole process group ended on any failure."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from hornet.errors import CommandError

LAST_LINES = 15


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
    group is killed. Raises CommandError for a missing command, a timeout, or an exit code that is not
    in `ok_codes`, with the last lines of its output.
    """
    words = tuple(str(word) for word in argv)
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            text=True,
            errors="replace",
            stdin=subprocess.PIPE if input_text is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        missing = error.filename if error.filename is not None else words[0]
        raise CommandError(f"{missing}: not found", hint or f"install the package that provides {words[0]}") from None
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(process, lines, log, on_line), daemon=True)
    reader.start()
    try:
        if input_text is not None and process.stdin:
            process.stdin.write(input_text)
            process.stdin.close()
        exit_code = process.wait(timeout_s)
        reader.join(timeout_s)
    except subprocess.TimeoutExpired:
        raise CommandError(f"{shlex.join(words)}: no end within {timeout_s:g} s{_tail(lines)}", hint) from None
    finally:
        _kill_group(process)
        reader.join(1)
    if exit_code not in ok_codes:
        raise CommandError(
            f"{shlex.join(words)}: exit code {exit_code}{_tail(lines)}" + (f"\n  log: {log}" if log else ""),
            hint,
        )
    return Completed(words, exit_code, "".join(lines))


def _read(
    process: subprocess.Popen[str], lines: list[str], log: Path | None, on_line: Callable[[str], None] | None
) -> None:
    if process.stdout is None:
        return
    sink = log.open("a", encoding="utf-8") if log else None
    try:
        for line in process.stdout:
            lines.append(line)
            if sink:
                sink.write(line)
                sink.flush()
            if on_line:
                on_line(line.rstrip())
    finally:
        if sink:
            sink.close()


def _tail(lines: Sequence[str]) -> str:
    return "".join(f"\n  | {line.rstrip()}" for line in deque(lines, LAST_LINES))


def _kill_group(process: subprocess.Popen[str]) -> None:
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
