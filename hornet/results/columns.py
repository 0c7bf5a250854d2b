"""Several runs side by side: each is decided by itself. Nothing is averaged, and a missing run is not judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hornet.results.gate import Answer, Decision
from hornet.results.run import Run, load_run
from hornet.results.verdict import Judgement, judge
from hornet.spec.model import Spec

WORST_FIRST = (Answer.FAILED, Answer.NOT_JUDGED, Answer.PASSED)


@dataclass(frozen=True)
class Column:
    """One run. missing: why there is no run, or empty. page: the relative path of its report."""

    name: str
    missing: str
    run: Run
    decision: Decision
    judgements: list[Judgement]
    page: str


@dataclass(frozen=True)
class Columns:
    """All of them. what: what each is, as in `host`. remarks: sentences on all."""

    what: str
    columns: Sequence[Column]
    remarks: list[str] = field(default_factory=list)

    @property
    def answer(self) -> Answer:
        """Failed if one failed, passed if every one passed."""
        answers = {column.decision.answer for column in self.columns}
        return next(answer for answer in WORST_FIRST if answer in answers)

    @property
    def headline(self) -> str:
        """The decision in one sentence, which says no more than the results do."""
        counts = [(answer, sum(column.decision.answer is answer for column in self.columns)) for answer in Answer]
        missing = sum(bool(column.missing) for column in self.columns)
        shown = ", ".join(f"{answer} on {count}" for answer, count in counts if count)
        lost = f"; the work of {missing} is missing" if missing else ""
        return f"{self.answer}: {shown} of {len(self.columns)} {self.what}s{lost}"


def column_of(
    name: str, place: Path, missing: str, spec: Spec, decide: Callable[[Spec, Run], Decision], page: str
) -> Column:
    """The column of the run at `place`. missing: why there is none; it is then one of which all was lost."""
    if missing:
        run = Run(place, lost=[f"{name}: {missing}"], problems=[f"{name}: {missing}"])
    else:
        run = load_run(place)
    return Column(name, missing, run, decide(spec, run), judge(spec, run.records), page)
