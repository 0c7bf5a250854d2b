"""Play one fault in a world of its own: `… -m tests.faults.trial "ext4 TERM:group start+0.400"`, then judge.

Prints one line of JSON: what was done, how the command ended, and every problem that the oracle found.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from tests.faults import oracle, shams  # noqa: F401  the shams are commands too
from tests.faults.faults import Missed, Running, Settings
from tests.faults.plan import Plan
from tests.faults.world import SCRATCH, World, world_argv

POLL_S = 0.002
# A machine may be busy; a command that hangs for minutes hangs.
COMMAND_TIMEOUT_S = 300.0
TRIAL_TIMEOUT_S = 900.0
# Until whatever a command has started is gone after its end.
GRACE_S = 3.0
STREAMS = ("stdout", "stderr")


@dataclass
class Ended:
    """How a command ended. code: as subprocess gives it; None if it had to be killed."""

    code: int | None
    took_s: float
    stdout: str
    stderr: str


@dataclass
class Result:
    """missed: why the fault could not be done; it is not counted then."""

    plan: str
    missed: str = ""
    ended: Ended | None = None
    again: Ended | None = None
    problems: list[str] = field(default_factory=list)


def play(plan: Plan, workspace: Path) -> Result:
    """Play a fault in a new world, from outside. Raises RuntimeError if the world itself fails."""
    environment = {**os.environ, "HORNET_HOME": str(workspace), "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        world_argv("tests.faults.trial", str(plan)),
        cwd=SOURCE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TRIAL_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"{plan}: exit code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}") from None
    ends = {name: Ended(**found.pop(name)) for name in ("ended", "again") if found[name]}
    return Result(**{**found, **ends})


def _play_here(plan: Plan) -> Result:
    """In the world: this process is its first."""
    world = World(Workspace.from_env().root, on_ext4=plan.fault.on_ext4)
    world.enter()
    plan.command.prepare(world)
    world.note()
    result = Result(str(plan))
    result.ended = _run_with_fault(world, plan, result)
    if result.ended.code is None:
        result.problems.append(f"does not end: still runs after {result.ended.took_s:.0f} s")
    still_there = _left_after_grace(world, plan.command.keeps)
    if plan.fault.cleans_up and still_there and result.ended.code != -9:
        result.problems += [f"left behind: {thing}" for thing in still_there]
    plan.fault.undo(world)
    result.problems += oracle.judge_end(plan, result.ended, bool(result.missed))
    result.problems += [f"published: {problem}" for problem in world.damage()]
    result.again = _run(world, (plan.command.again or plan.command.argv)(world))
    result.problems += oracle.judge_next(plan, result.again)
    if plan.command.undo:
        _run(world, plan.command.undo)
    left = _left_after_grace(world, [] if plan.command.undo else plan.command.keeps)
    result.problems += [f"left behind even by the next start: {thing}" for thing in left]
    result.problems += [f"published, after the next start: {problem}" for problem in world.damage()]
    result.problems += oracle.judge_new_artifacts(world)
    return result


def _run(world: World, argv: Sequence[str | Path]) -> Ended:
    process, began_s = _start(world, argv, Settings(world.environment)), time.monotonic()
    return _await_end(process, began_s)


def _run_with_fault(world: World, plan: Plan, result: Result) -> Ended:
    settings = Settings(world.environment)
    if plan.fault.setting:
        plan.fault.setting(world, settings)
    process, began_s = _start(world, plan.command.argv(world), settings), time.monotonic()
    running = Running(world, process, random.Random(str(plan)))
    if plan.fault.do:
        try:
            _await_moment(running, plan)
            plan.fault.do(running)
        except (Missed, psutil.NoSuchProcess) as error:
            result.missed = str(error)
    return _await_end(process, began_s)


def _await_moment(running: Running, plan: Plan) -> None:
    """Raises Missed if the command ends before."""
    began_s = time.monotonic()
    while plan.moment.event != "start" and not _has_come(running, plan.moment.event):
        if running.process.poll() is not None:
            raise Missed(f"it ended before {plan.moment}")
        if time.monotonic() - began_s > COMMAND_TIMEOUT_S:
            raise Missed(f"no {plan.moment}")
        time.sleep(POLL_S)
    deadline_s = (time.monotonic() if plan.moment.event != "start" else began_s) + plan.moment.delay_s
    while (left_s := deadline_s - time.monotonic()) > 0:
        if running.process.poll() is not None and plan.fault.name != "none":
            raise Missed(f"it ended before {plan.moment}")
        time.sleep(min(POLL_S * 5, left_s))


def _has_come(running: Running, event: str) -> bool:
    if event == "vmm":
        return running.vmm() is not None
    if event == "child":
        return bool(running.descendants())
    workspace = running.world.workspace
    return (
        any((workspace / "run").glob("*"))
        or any(workspace.glob("build/*/*.tmp-*"))
        or any(workspace.glob("snapshots/.*.tmp-*"))
    )


def _start(world: World, argv: Sequence[str | Path], settings: Settings) -> subprocess.Popen[bytes]:
    """With its output in files: a pipe would be filled, and would be held by whatever outlives the command."""
    outputs = {stream: (SCRATCH / stream).open("wb") for stream in STREAMS} | settings.outputs

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        settings.before_exec()

    return subprocess.Popen(
        [str(word) for word in argv],
        cwd=SOURCE,
        start_new_session=True,
        preexec_fn=prepare,
        env=settings.environment,
        stdin=world.nothing,
        stdout=outputs["stdout"],
        stderr=outputs["stderr"],
    )


def _await_end(process: subprocess.Popen[bytes], began_s: float) -> Ended:
    try:
        code: int | None = process.wait(COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        code = None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    texts = [(SCRATCH / stream).read_text(errors="replace") for stream in STREAMS]
    return Ended(code, time.monotonic() - began_s, *texts)


def _left_after_grace(world: World, keeps: Sequence[str]) -> list[str]:
    deadline_s = time.monotonic() + GRACE_S
    while (left := world.left(keeps)) and time.monotonic() < deadline_s:
        _reap()
        time.sleep(0.05)
    return left


def _reap() -> None:
    """Orphans become children of this process."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    print(json.dumps(asdict(_play_here(Plan.parse(sys.argv[1])))))
