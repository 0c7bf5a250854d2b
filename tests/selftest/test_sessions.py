"""Samples of several sessions: a bound that counts them as fewer, and a comparison by session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import norm

from hornet.results.bounds import effective_samples, upper_bound, upper_bound_of_sessions
from hornet.results.compare import Change, compare, spread
from hornet.results.records import Failure, Record
from hornet.results.run import Run
from hornet.results.verdict import Verdict, judge_record
from hornet.spec.model import load_spec
from reports.frames import records_frame
from tests.support.synthetic_run import HOST

SPEC = load_spec()
PERCENT = 90
SESSIONS, RESTORES = 20, 10
TRIALS = 300


def restores(sessions: Sequence[Sequence[float]], failures: Sequence[Failure] = ()) -> Record:
    """A record of these restores, the failed ones in the last session."""
    numbers = [number for number, session in enumerate(sessions) for _ in session]
    return Record.of_runs(
        "snapshot_restore",
        [{"load_ms": value} for session in sessions for value in session],
        unit="ms",
        lane="firecracker/kvm",
        host=HOST,
        failures=list(failures),
        sessions=[*numbers, *(len(sessions) - 1 for _ in failures)],
    )


def drawn(chance: np.random.Generator, between: float) -> list[list[float]]:
    """Restores whose logarithm varies by 1 within a session and by `between` among sessions."""
    logarithms = chance.normal(size=(SESSIONS, RESTORES)) + between * chance.normal(size=(SESSIONS, 1))
    return [list(map(float, session)) for session in np.exp(logarithms)]


@pytest.mark.parametrize("between", [0.0, 1.0], ids=["alike", "different"])
def test_the_bound_over_sessions_holds_where_that_of_pooled_samples_does_not(between: float) -> None:
    chance = np.random.default_rng(1)
    percentile = float(np.exp(norm.ppf(PERCENT / 100) * np.hypot(1, between)))
    missed = pooled_missed = 0
    for _ in range(TRIALS):
        sessions = drawn(chance, between)
        bound = upper_bound_of_sessions(sessions, PERCENT)
        missed += bound is not None and bound < percentile
        pooled = upper_bound(sorted(value for session in sessions for value in session), PERCENT)
        pooled_missed += pooled is not None and pooled < percentile
    assert missed <= 0.06 * TRIALS
    assert (pooled_missed > 0.15 * TRIALS) == (between > 0)


def test_one_session_has_the_bound_of_independent_samples() -> None:
    values = [float(value) for value in range(60)]
    assert upper_bound_of_sessions([values], 95) == upper_bound(values, 95) is not None


def test_sessions_that_differ_count_as_few_samples() -> None:
    alike = [[float(value) for value in range(10)] for _ in range(10)]
    apart = [[100.0 * number + value for value in range(10)] for number in range(10)]
    assert effective_samples(alike, PERCENT) > 80
    assert effective_samples(apart, PERCENT) < 15
    assert upper_bound_of_sessions(apart, PERCENT) is None


def test_a_verdict_on_a_percentile_says_as_how_many_samples_the_sessions_count() -> None:
    metric = SPEC.metrics["snapshot_restore"].model_copy(update={"percentile": PERCENT})
    spec = SPEC.model_copy(update={"metrics": {**SPEC.metrics, "snapshot_restore": metric}})
    alike = [[4.0 + number / 100 + place / 10 for place in range(10)] for number in range(10)]
    assert judge_record(spec, "snapshot_restore", restores(alike)).verdict is Verdict.MEETS
    apart = [[3.0 + number / 2 + place / 1000 for place in range(10)] for number in range(10)]
    found = judge_record(spec, "snapshot_restore", restores(apart))
    assert found.verdict is Verdict.INVALID_RECORD
    assert "100 samples in 10 sessions, which count as " in found.reason


def test_runs_of_several_sessions_are_compared_by_session() -> None:
    """Two sessions of each run differ by chance; pooled, their samples would say that the runs do."""
    mine, theirs = ([[level + place / 100 for place in range(20)] for level in levels] for levels in ([5, 6], [7, 8]))
    assert compare(restores(mine), restores(theirs)).change is Change.TOO_FEW
    pooled = [restores([[value for session in each for value in session]]) for each in (mine, theirs)]
    assert compare(*pooled).change is Change.BETTER


def test_eight_sessions_each_show_a_difference() -> None:
    mine, theirs = ([[level + place / 100 for place in range(3)] for _ in range(8)] for level in (7.0, 5.0))
    assert compare(restores(mine), restores(theirs)).change is Change.WORSE


def test_a_record_names_the_session_of_every_repetition() -> None:
    failed = Failure(number=4, phase="load_ms", reason="no answer", timed_out=True)
    record = restores([[1.0, 2.0], [3.0, 4.0]], failures=[failed])
    assert record.by_session() == [[1.0, 2.0], [3.0, 4.0]]
    assert record.by_session(failed=9.0) == [[1.0, 2.0], [3.0, 4.0, 9.0]]
    assert spread(record.by_session()).count == 4
    frame = records_frame([replace(Run(Path("run")), records=[record])])
    assert list(frame["session"]) == [0, 0, 1, 1, 1]


def test_sessions_that_do_not_match_the_repetitions_are_rejected() -> None:
    with pytest.raises(ValidationError, match="3 sessions of 4 repetitions"):
        Record.model_validate({**restores([[1.0, 2.0], [3.0, 4.0]]).model_dump(), "sessions": [0, 0, 1]})


def test_the_plan_says_what_is_measured_and_how_long_it_takes() -> None:
    rounds = SPEC.perf.kvm.model_copy(update={"sessions": 3, "restore": 20, "restore_s": 0.5})
    assert rounds.restore_plan == "3 sessions of 20 restores, about 30 s"
