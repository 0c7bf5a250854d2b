"""The gate's metrics as Prometheus' own client reads them: every value exactly, whatever the names."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hornet.results.gate import Demands, decide
from hornet.results.records import MAX_AMOUNT, Record
from hornet.results.run import Run, load_run
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from reports.decision import as_prometheus
from tests.support import synthetic_run as synthetic
from tests.support.foreign_words import HOSTILE
from tests.support.hostile_run import hostile_run

SPEC, DEMANDS = load_spec(), Demands(load_requirements())


def samples_of(run: Run) -> list[Sample]:
    families = list(text_string_to_metric_families(as_prometheus(run, decide(SPEC, run, DEMANDS))))
    assert all(family.type == "gauge" and family.documentation for family in families)
    found = [sample for family in families for sample in family.samples]
    keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in found]
    assert len(set(keys)) == len(keys), "a collector refuses a file with two equal series"
    return found


def measured(run: Run) -> dict[tuple[str, str, str], float]:
    return {
        (sample.labels["name"], sample.labels["lane"], sample.labels["dimensions"]): sample.value
        for sample in samples_of(run)
        if sample.name == "hornetos_measurement"
    }


def test_every_value_is_the_recorded_one(tmp_path: Path) -> None:
    run = load_run(synthetic.make_run(tmp_path / "run"))
    assert measured(run) == {(it.name, it.lane or "", it.label): it.value for it in run.records}
    counts = [sample.value for sample in samples_of(run) if sample.name == "hornetos_requirements"]
    assert sum(counts) == len(decide(SPEC, run, DEMANDS).rows)


@pytest.mark.parametrize("word", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_stay_values_of_labels(tmp_path: Path, word: str) -> None:
    run = load_run(hostile_run(tmp_path / "run", word))
    assert set(measured(run)) == {(it.name, it.lane or "", it.label) for it in run.records}


@pytest.mark.parametrize("value", [0.0, 5e-324, 149.9996, 1 / 3, MAX_AMOUNT])
def test_extreme_values_are_exact(tmp_path: Path, value: float) -> None:
    record = Record(name="x", value=value, unit="ms", direction="lower", lane=None, host=synthetic.HOST)
    run = load_run(synthetic.make_run(tmp_path / "run", records=[record]))
    assert measured(run)["x", "", ""] == value


def test_a_quantity_measured_twice_is_counted_and_left_out(tmp_path: Path) -> None:
    record = Record(name="x", value=1.0, unit="ms", direction="lower", lane=None, host=synthetic.HOST)
    twice = [record, record.model_copy(update={"value": 2.0}), record.model_copy(update={"name": "y"})]
    run = load_run(synthetic.make_run(tmp_path / "run", records=twice))
    assert set(measured(run)) == {("y", "", "")}
    left_out = [sample.value for sample in samples_of(run) if sample.name == "hornetos_measurements_left_out"]
    assert left_out == [1]
