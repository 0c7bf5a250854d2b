"""What must be true after a fault: the exit code is right, the message says what is wrong, artifacts are whole."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from hornet.installation import SOURCE
from tests.faults.world import World

if TYPE_CHECKING:
    from tests.faults.plan import Plan
    from tests.faults.trial import Ended

LIMIT_LINES = 60
INPUTS_FILE = "inputs.json"
TRACEBACK = "Traceback (most recent call last)"
SENTENCE = re.compile(
    r"^(hornetos: \S+|ERROR|FAILED|E  |Usage:|Error:)|NOT JUDGED|Interrupted|no tests ran", re.MULTILINE
)
# What hornet_cli.failures says of an error that nobody has foreseen.
UNNAMED = re.compile(r"hornetos: \S+\.py, line \d+: (?!out of memory)|unexpected \w+: ")
DOES_NOT_HOLD, NOT_DONE = 1, 2


def judge_end(plan: Plan, ended: Ended, missed: bool) -> list[str]:
    """The exit code and the words of a command that had a fault (or had none, if it was missed)."""
    code, said = plan.command.right
    verdict = ended.code == code and (not plan.fault.output or bool(re.search(said, ended.stdout)))
    problems = _judge_words(ended)
    if verdict and plan.fault.name not in ("stdout:full",):
        return problems
    if plan.fault.codes & {-signal.SIGINT} and _of_python_itself(ended.stderr):
        return problems
    allowed = frozenset() if missed else plan.fault.codes
    if plan.command.judges_machine and plan.fault.setting:
        allowed |= {DOES_NOT_HOLD}
    if ended.code not in allowed:
        expected = f"{code} with {said!r}" + (f", or one of {sorted(allowed)}" if allowed else "")
        problems.append(f"exit code {ended.code}, expected {expected}")
    if ended.code == NOT_DONE and plan.fault.name not in ("stderr:closed", "stderr:full"):
        problems += _judge_sentence(plan, ended)
    return problems


def judge_next(plan: Plan, ended: Ended) -> list[str]:
    """The same command, without a fault: it does what it always does."""
    code, said = plan.command.right
    problems = [f"next start: {problem}" for problem in _judge_words(ended)]
    if ended.code != code or not re.search(said, ended.stdout):
        problems.append(f"next start: exit code {ended.code}, expected {code} with {said!r}")
    return problems


def judge_new_artifacts(world: World) -> list[str]:
    """What was published meanwhile is whole."""
    problems = [
        f"{directory}: no {INPUTS_FILE}"
        for directory in world.new_things("build/*")
        if not (directory / INPUTS_FILE).is_file()
    ]
    snapshots = world.new_things("snapshots")
    return problems + (_broken(snapshots) if snapshots else [])


def _broken(snapshots: list[Path]) -> list[str]:
    # Here: it takes longer than most commands.
    from hornet.errors import HornetError
    from hornet.snapshot import open_bundle
    from hornet.spec.model import load_spec

    problems = []
    for directory in snapshots:
        try:
            open_bundle(directory, load_spec().snapshot).check_full()
        except HornetError as error:
            problems.append(f"{directory}: {error.message}")
    return problems


def _judge_words(ended: Ended) -> list[str]:
    text = ended.stderr + ended.stdout
    problems = []
    if TRACEBACK in text and not _of_python_itself(text):
        problems.append("a traceback")
    if len(ended.stderr.splitlines()) > LIMIT_LINES:
        problems.append(f"{len(ended.stderr.splitlines())} lines on standard error")
    return problems


def _of_python_itself(text: str) -> bool:
    """An interrupt before the first line of the project, which nothing can handle yet."""
    ours = text.replace(str(SOURCE / "hornet_cli/__main__.py"), "")
    return text.rstrip().endswith("KeyboardInterrupt") and f"{SOURCE}/hornet" not in ours


def _judge_sentence(plan: Plan, ended: Ended) -> list[str]:
    text = ended.stderr + ended.stdout
    if UNNAMED.search(text):
        return ["a sentence that names a line of Python, not the thing that it is about"]
    return [] if SENTENCE.search(text) else ["exit code 2 without a sentence that says why"]
