"""The verdict on every target metric that this run has measured (guide: Target Metrics).

The mark `gate` makes these tests run last (conftest.py): what is judged must be measured first.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.results.outcomes import METRIC_PROPERTY, NEEDS_KVM_PROPERTY
from hornet.results.records import RECORDS_FILE, read_records
from hornet.results.verdict import Judgement, Verdict, judge
from hornet.spec.model import Spec

pytestmark = [pytest.mark.perf, pytest.mark.gate]


def test_target_is_met(
    metric: str, spec: Spec, run_directory: Path, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> None:
    # Not record_property: it warns that its place in the XML is not in the newest schema.
    request.node.user_properties.append((METRIC_PROPERTY, metric))
    path = run_directory / RECORDS_FILE
    records = read_records(path)[0] if path.exists() else []
    mine = [item for item in judge(spec, records) if item.metric == metric]
    missed = [_line(item) for item in mine if item.verdict.judged and item.verdict is not Verdict.MEETS]
    unjudged = [_line(item) for item in mine if not item.verdict.judged]
    if unjudged and all(item.needs_kvm for item in mine if not item.verdict.judged):
        request.node.user_properties.append((NEEDS_KVM_PROPERTY, True))
    if pytestconfig.getoption("require_kvm"):
        missed += unjudged
    if missed:
        pytest.fail("\n".join(missed), pytrace=False)
    if unjudged:
        pytest.skip("not judged: " + "; ".join(unjudged))


def _line(item: Judgement) -> str:
    label = f" ({item.record.label})" if item.record and item.record.label else ""
    return f"{item.metric}{label}: {item.verdict}: {item.reason}"
