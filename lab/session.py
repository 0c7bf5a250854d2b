"""Runs a command in the emulated host, and brings back its exit code, its output and its run directories."""

from __future__ import annotations

import os
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from hornet.errors import HostError
from hornet.host.artifact_store import Store
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE
from hornet.host.owned import work_directory
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec
from hornet.vmm.console import PANIC
from lab.components import Components, build_components
from lab.job import Job
from lab.machine import ERRORS, OUTPUT, RESULTS, TERMINAL, Machine
from lab.pump import Pump
from lab.results import MAX_RESULTS_BYTES, take_over

WORK_NAME = "lab"
RESULTS_FILE = "results.tar"
STDIN, STDOUT, STDERR = 0, 1, 2
# The command is ended first, in the emulated host, so that its results are not lost.
GRACE_S = 90.0
OFF_TIMEOUT_S = 60.0
# Beside the emulated host's memory: QEMU's own, with translated code.
QEMU_MIB = 1536


class LabCrashedError(HostError):
    """The emulated host itself ended before the command did: a fault of its kernel or of QEMU, and no verdict."""


@dataclass(frozen=True)
class Ended:
    """A command that ended in the lab: its exit code, and the run directories that it left, now in HORNET_HOME."""

    exit_code: int
    runs: Sequence[Path]


def run_in_lab(
    spec: Spec,
    workspace: Workspace,
    command: Sequence[str],
    progress: Progress,
    *,
    time_limit_s: float | None = None,
    terminal: bool = False,
) -> Ended:
    """Run a command with this process's directory, environment, standard output and error.

    If the emulated host crashes, the command runs once more, from the start, because what it wrote is gone: in the
    time that is left. terminal: on this process's terminal, which it reads too, and only once. time_limit_s: by default
    lab.time_limit_s of the spec; a command on a terminal has none. Raises HostError for everything that the lab lacks,
    and if the time is over; LabCrashedError; BuildError.
    """
    check_memory(spec.lab.memory_mib, psutil.virtual_memory().available >> 20)
    parts = build_components(spec, Store(workspace), progress)
    limit_s = time_limit_s or spec.lab.time_limit_s
    size = os.get_terminal_size(STDIN) if terminal else None
    job = Job(
        command=command,
        directory=Path.cwd(),
        environment=os.environ,
        home=workspace.root,
        time_limit_s=limit_s,
        terminal=(size.lines, size.columns) if size else None,
    )
    began_s = time.monotonic()
    try:
        return _run_once(spec, workspace, parts, job, progress)
    except LabCrashedError as error:
        left_s = limit_s - (time.monotonic() - began_s)
        if terminal or left_s < 1:
            raise
        print(error.message, file=sys.stderr)
        progress.say(f"lab: that says nothing of the command: it runs once more, for at most {left_s:.0f} s")
    return _run_once(spec, workspace, parts, replace(job, time_limit_s=left_s), progress)


def _run_once(spec: Spec, workspace: Workspace, parts: Components, job: Job, progress: Progress) -> Ended:
    with work_directory(workspace.run, WORK_NAME, PRIVATE_DIRECTORY_MODE) as work:
        initramfs = job.pack(parts, work)
        with Machine(spec.lab, parts, initramfs, spec.vmm.first_user, work) as machine:
            with progress.step("lab", "starting an emulated host with KVM"):
                _await_ready(machine, spec.lab.ready_timeout_s)
            exit_code = _converse(machine, work, None if job.terminal else job.time_limit_s)
        return Ended(exit_code, take_over(work / RESULTS_FILE, work, workspace))


def this_command_there(option: str) -> list[str]:
    """The words that run this process's command line once more, without `option`."""
    return [sys.executable, *(word for word in sys.orig_argv[1:] if word != option)]


def check_memory(needed_mib: int, available_mib: int) -> None:
    """Raises HostError if the emulated host's memory is not available."""
    if available_mib < needed_mib + QEMU_MIB:
        raise HostError(
            f"the lab needs {needed_mib + QEMU_MIB} MiB of memory, {available_mib} MiB are available",
            "end other programs, or set a smaller lab.memory_mib with --overlay (a run needs about 4096)",
        )


def _await_ready(machine: Machine, timeout_s: float) -> None:
    message = machine.next_message(timeout_s)
    if message == "ready":
        return
    if message is None:
        why = f"the lab was not ready within {timeout_s:g} s"
        hint = "if the machine is busy, try again, or set a larger lab.ready_timeout_s with --overlay"
    elif message.startswith("failed "):
        why, hint = f"the lab cannot start: {message.removeprefix('failed ')}", "see its console above"
    else:
        why, hint = "the lab ended before it was ready", "see its console and QEMU's log above"
    raise HostError(f"{why}\n{machine.last_words()}", hint, timed_out=message is None)


def _converse(machine: Machine, work: Path, limit_s: float | None) -> int:
    """Pass everything on until the command has ended; returns its exit code."""
    with (work / RESULTS_FILE).open("wb") as results, _terminal(machine) if limit_s is None else nullcontext():
        pumps = [Pump(machine.ends[OUTPUT], STDOUT), Pump(machine.ends[ERRORS], STDERR)]
        kept = Pump(machine.ends[RESULTS], results.fileno(), limit_bytes=MAX_RESULTS_BYTES)
        exit_code = _await_exit(machine, limit_s)
        machine.wait_off(OFF_TIMEOUT_S)
        for pump in (*pumps, kept):
            pump.join()
        if kept.problem:
            raise HostError(f"the lab's results could not be kept: {kept.problem}", f"free space in {work.parent}")
    return exit_code


def _await_exit(machine: Machine, limit_s: float | None) -> int:
    message = machine.next_message(None if limit_s is None else limit_s + GRACE_S)
    if message is None:
        raise HostError(
            f"the lab did not end within {limit_s:g} s and {GRACE_S:g} s more: it hangs\n{machine.last_words()}",
            "give it more time with --time-limit",
            timed_out=True,
        )
    word, _, number = message.partition(" ")
    if word != "exit" or not number.isdecimal():
        words = machine.last_words()
        why = found[0] if (found := PANIC.search(words)) else "it ended before the command"
        raise LabCrashedError(
            f"the emulated host crashed: {why}\n{words}", "run it again: no verdict on the command follows"
        )
    return int(number)


@contextmanager
def _terminal(machine: Machine) -> Iterator[None]:
    """Connect this process's terminal with that of the emulated host."""
    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN)
    end = machine.ends[TERMINAL]
    shown = Pump(end, STDOUT)

    def pass_keys() -> None:
        while keys := os.read(STDIN, 1024):
            try:
                end.sendall(keys)
            except OSError:
                return

    threading.Thread(target=pass_keys, name="keys", daemon=True).start()
    try:
        yield
    finally:
        shown.join()
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)
