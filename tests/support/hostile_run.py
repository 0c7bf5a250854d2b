"""Runs in which every text that may be any is a foreign word, and their reports."""

from __future__ import annotations

import json
from pathlib import Path

from hornet.results.gate import Demands
from hornet.results.outcomes import Case, Result
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from reports import ReportPaths, build_report
from tests.support import synthetic_run as synthetic

OUTCOMES = (Result.FAILED, Result.ERROR, Result.NOT_JUDGED, Result.PASSED)


def hostile_run(directory: Path, word: str) -> Path:
    """A run in which every text that may be any is `word`."""
    host = {**synthetic.HOST, "cpu": word}
    records = [
        record.model_copy(
            update={
                "host": host,
                "dimensions": {**record.dimensions, f"k{word}": word},
                "parts": {f"{word}{name}": amount for name, amount in record.parts.items()},
            }
        )
        for record in synthetic.records()
    ]
    records.append(records[-1].model_copy(update={"name": word}))
    cases = [
        Case(test=f"conformance/test_tools::test_tool_works[{place}{word}]", result=result, reason=word, detail=word)
        for place, result in enumerate(OUTCOMES)
    ]
    components = {word: 3.0, f"{word} too": 2.0}
    artifacts = {"rootfs": {"tier": "standard", "components_mb": components, word: word}, word: {word: {word: word}}}
    return synthetic.make_run(
        directory,
        records=records,
        cases=[*synthetic.CASES, *cases],
        host__json=json.dumps({**host, word: word}),
        artifacts__json=json.dumps(artifacts),
    )


def hostile_report(base: Path, word: str) -> tuple[Path, ReportPaths]:
    """A hostile run and its report, which names an earlier one: begun in the same second, neither would be earlier."""
    before = hostile_run(base / "before", word)
    synthetic.date_run(before, "2026-01-01T00:00:00+00:00")
    run_directory = hostile_run(base / "run", word)
    return run_directory, build_report(run_directory, load_spec(), Demands(load_requirements()), baseline=before)
