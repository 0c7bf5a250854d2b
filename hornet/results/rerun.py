"""A run that repeats what another did not pass: which tests that is, and what became of them.

The first run keeps its results. A test that failed there and passes now is flaky: it is named, and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hornet.results.collected import IMAGE_SUITES, without_result
from hornet.results.outcomes import Case, Result
from hornet.results.run import Run, load_run

MEASURED_TOGETHER = "perf"


class Again(StrEnum):
    """What a test that ran more than once is."""

    FLAKY = "flaky"
    REPEATED = "repeated"


@dataclass(frozen=True)
class Repeated:
    """A test in both runs. before, after: its results. reason: of the later one, else of the earlier one.

    same_subject: whether both runs were of the same kernel, image and snapshot.
    """

    test: str
    before: Result
    after: Result
    reason: str
    same_subject: bool = True

    @property
    def label(self) -> Again:
        """Flaky if it failed and then passed, though the subject is the same."""
        failed = self.same_subject and self.before in (Result.FAILED, Result.ERROR)
        return Again.FLAKY if failed and self.after is Result.PASSED else Again.REPEATED

    def __str__(self) -> str:
        return f"{self.test}: {self.before}, then {self.after}" + (f": {self.reason}" if self.reason else "")


def failed_or_missing(run: Run) -> set[str]:
    """The tests of an image's suites that failed, could not judge or did not run; a module's name stands for all of it.

    A test that only lacks a KVM lane would give the same result again. Measurements belong together: a verdict on a
    metric needs the tests that measure it.
    """
    found = {case.test for case in run.cases if case.suite in IMAGE_SUITES and not _answered(case)}
    found |= {test for test in without_result(run.collected, {case.test for case in run.cases}) if _of_image(test)}
    found |= {module for module, tests in run.collected.items() if not tests and _of_image(module)}
    if any(test.startswith(f"{MEASURED_TOGETHER}/") for test in found):
        found |= {module for module in run.collected if module.startswith(f"{MEASURED_TOGETHER}/")}
    return found


def is_selected(test: str, selected: set[str]) -> bool:
    """Whether a test is among the tests and modules of failed_or_missing()."""
    return test in selected or test.partition("::")[0] in selected


def repeated_tests(first: Run, second: Run) -> list[Repeated]:
    """What became of each test that the second run had to repeat and whose name is known."""
    before, after = ({case.test: case for case in run.cases} for run in (first, second))
    selected = failed_or_missing(first)
    names = dict.fromkeys([*(test for test in sorted(selected) if "::" in test), *after])
    same = first.subject == second.subject
    found = [_repeated(name, before.get(name), after.get(name), same) for name in names if is_selected(name, selected)]
    return [it for it in found if not it.before is it.after is Result.PASSED]


def ran_again(run: Run) -> list[tuple[Again, str]]:
    """The tests that ran more than once, a sentence each: in this run, and in the one whose failures it repeats."""
    found = [(Again.FLAKY, f"{test}: it has several results in this run; the worst one counts") for test in run.flaky]
    first = Path(run.info.rerun_of) if run.info and run.info.rerun_of else None
    if first is None:
        return found
    if not first.is_dir():
        return [*found, (Again.REPEATED, f"rerun of {first.name}: that run is gone, so what was flaky is unknown")]
    return [*found, *((it.label, f"rerun of {first.name}: {it}") for it in repeated_tests(load_run(first), run))]


def _repeated(test: str, before: Case | None, after: Case | None, same_subject: bool) -> Repeated:
    reason = (after.reason if after else "") or (before.reason if before else "")
    then, now = (case.result if case else Result.NOT_RUN for case in (before, after))
    return Repeated(test, then, now, reason, same_subject)


def _answered(case: Case) -> bool:
    return case.result is Result.PASSED or (case.result is Result.NOT_JUDGED and case.needs_kvm)


def _of_image(test: str) -> bool:
    return test.partition("/")[0] in IMAGE_SUITES
