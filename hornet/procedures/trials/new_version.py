"""Tries SOP 1: a new version of the snapshot, with a word in it and a file for each removal of phase 1."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from hornet.checks.procedures import VersionFacts
from hornet.procedures.new_version import Change, NewVersion, Watcher, make_new_version
from hornet.procedures.trials.place import TIMEOUT_S, WORD_FILES, TrialPlace
from hornet.procedures.validate import Step, outcome
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.guest_script import Result

VERSION = "new"
PLANTED_BYTES = 64 << 10
PLANTED_NAME = "hornetos-planted"
ON_DISK = "the root file system is writable"


@dataclass(frozen=True)
class VersionTrial:
    """word: what the change wrote. on_disk: whether it could write to a disk of its own, too. planted: a file by
    removal. undecided: why the validation could not judge, or "". published: None if there is no new version."""

    facts: VersionFacts
    word: str
    on_disk: bool
    planted: dict[str, str]
    undecided: str
    published: Bundle | None


def try_new_version(place: TrialPlace) -> VersionTrial:
    """Make a new version of the subject and publish it in the home of the trials. Raises as make_new_version()."""
    word, planted = f"change-{secrets.token_hex(8)}", dict(_plant(place.fleet.spec))
    results: list[Result] = []
    steps: list[Step] = []
    made = make_new_version(
        place.fleet,
        place.subject,
        VERSION,
        Change(_script(word, planted), TIMEOUT_S),
        egress=False,
        progress=place.progress,
        watcher=Watcher(results.append, steps.append),
    )
    facts = VersionFacts(
        exit_code=made.exit_code,
        output=results[0].stdout + results[0].stderr,
        passed=[step.name for step in steps if step.verdict == "PASS"],
        not_passed={step.name: "; ".join([step.verdict, *step.lines]) for step in made.not_passed},
        parent=made.published.manifest().origin.parent if made.published else None,
        base=place.subject.manifest().self_sha256,
    )
    on_disk = ON_DISK in facts.output and place.subject.manifest().origin.root == "disk"
    return VersionTrial(facts, word, on_disk, planted, _undecided(made), made.published)


def _undecided(made: NewVersion) -> str:
    """Why the validation gave no verdict on the new version; empty if it gave one."""
    if not made.not_passed or outcome(made.not_passed) == "FAIL":
        return ""
    return "; ".join(f"{step.name}: {' '.join(step.lines)}" for step in made.not_passed)


def _plant(spec: Spec) -> Iterator[tuple[str, str]]:
    """For each removal a file that it must remove: at its first path, whose last part may end with a star."""
    for name, removal in spec.slim.removals.items():
        for path in removal.paths:
            parent, _, last = path.rpartition("/")
            stem = last.removesuffix("*")
            if "*" in parent + stem:
                continue  # a file there might not match
            yield name, f"{parent}/{stem}{PLANTED_NAME}" if last != stem else f"{path}/{PLANTED_NAME}"
            break


def _script(word: str, planted: dict[str, str]) -> str:
    """The change. It says whether the root file system was writable; a read-only one gets the word in memory only."""
    memory, disk = map(shlex.quote, WORD_FILES)
    lines = ["set -e", f"echo {word} >{memory}", f"if (: >{disk}) 2>/dev/null; then", f"echo {word} >{disk}"]
    for path in map(shlex.quote, planted.values()):
        lines += [f"mkdir -p $(dirname {path})", f"head -c {PLANTED_BYTES} /dev/zero >{path}"]
    return "\n".join([*lines, f"echo {ON_DISK}", "fi", ""])
