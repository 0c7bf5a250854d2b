"""The measured baseline beside a target: only of the same lane, host and VM, and from a run that ended unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hornet.capacity.footprint import METRIC
from hornet.capacity.measured import latest_measured
from hornet.results.gate import Demands
from hornet.results.history import read_history, run_directories
from hornet.results.measured_baseline import measured_baselines
from hornet.results.records import DISTRO, RECORDS_FILE, Record
from hornet.results.run import load_run
from hornet.results.run_info import RUN_FILE
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet.spec.rootfs import BASELINE
from reports import build_report
from reports.summary import MeasuredValue, MetricRow, summarize
from tests.support import synthetic_run as synthetic

SPEC, DEMANDS = load_spec(), Demands(load_requirements())
TIMES = 3.0


def boot(value_ms: float = 100.0, *, lane: str | None = "qemu/kvm", memory_mib: int = 256, **changes: Any) -> Record:
    machine = {"memory_mib": memory_mib, "vcpus": 1}
    known = {"name": "cold_boot", "host": synthetic.HOST, "unit": "ms", "direction": "lower", "machine": machine}
    return Record(value=value_ms, lane=lane, **{**known, **changes})


def of_baseline(record: Record) -> Record:
    dimensions = {key: value for key, value in record.dimensions.items() if key != "tier"}
    return record.model_copy(update={"value": TIMES * record.value, "dimensions": {**dimensions, DISTRO: BASELINE}})


def row(tmp_path: Path, record: Record, *baselines: Record) -> MetricRow:
    """The row of this record in the report of its run, with one run of the baseline beside it."""
    synthetic.make_run(tmp_path / "reports" / "base", records=baselines)
    run = synthetic.make_run(tmp_path / "reports" / "run", records=[record])
    report = summarize(load_run(run), SPEC, DEMANDS, measured=measured_baselines(tmp_path / "reports"))
    (found,) = [each for each in report.metrics if each.value is not None]
    assert found.metric == record.name
    return found


def test_times_better_names_the_run_that_measured_the_baseline(tmp_path: Path) -> None:
    found = row(tmp_path, boot(), of_baseline(boot()))
    assert found.measured == MeasuredValue("base", 300.0, TIMES, "../base")
    assert found.improvement == SPEC.metrics["cold_boot"].baseline / 100
    build_report(tmp_path / "reports" / "run", SPEC, DEMANDS)
    page = (tmp_path / "reports/run/report.html").read_text()
    assert "<code>hornetos run --distro baseline --lane qemu/kvm</code>" in page
    assert '3× better than <a href="../base">base</a>' in page
    assert "300 ms (base) | 3× |" in (tmp_path / "reports/run/report.md").read_text()


def test_what_is_worse_than_the_baseline_is_called_so(tmp_path: Path) -> None:
    row(tmp_path, boot(), of_baseline(boot(10.0)))
    build_report(tmp_path / "reports" / "run", SPEC, DEMANDS)
    assert '3.33× worse than <a href="../base">base</a>' in (tmp_path / "reports/run/report.html").read_text()


def test_more_vms_are_better(tmp_path: Path) -> None:
    many = boot(90.0, name="vms_per_16gb", unit="VMs", direction="higher", dimensions={"state": "worked"})
    fewer = of_baseline(many).model_copy(update={"value": 30.0})
    measured = row(tmp_path, many, fewer).measured
    assert measured
    assert measured.improvement == TIMES


def test_a_tier_is_compared_with_the_baseline_that_has_none(tmp_path: Path) -> None:
    size = boot(50.0, name="rootfs_size", unit="MB", lane=None, machine={}, dimensions={"tier": "micro"})
    assert row(tmp_path, size, of_baseline(size)).measured


@pytest.mark.parametrize(
    "other",
    [
        boot(lane="qemu/tcg"),
        boot(memory_mib=512),
        boot(host={**synthetic.HOST, "cpu": "another"}),
        boot(dimensions={"page_cache": "cold"}),
    ],
    ids=["lane", "VM", "host", "dimension"],
)
def test_a_baseline_of_another_kind_is_not_compared(tmp_path: Path, other: Record) -> None:
    found = row(tmp_path, boot(), of_baseline(other))
    assert (found.measured, found.not_measured) == (None, "not measured")


def test_an_ordinary_run_is_no_baseline(tmp_path: Path) -> None:
    assert row(tmp_path, boot(), boot(300.0)).measured is None


@pytest.mark.parametrize("damage", ["edited", "unended", "not a file of records"])
def test_a_baseline_that_cannot_be_trusted_is_not_compared(tmp_path: Path, damage: str) -> None:
    base = synthetic.make_run(tmp_path / "reports" / "base2", records=[of_baseline(boot())])
    if damage == "unended":
        info = json.loads((base / RUN_FILE).read_text())
        info["sessions"][0]["ended"] = None
        (base / RUN_FILE).write_text(json.dumps(info))
    else:
        with (base / RECORDS_FILE).open("ab") as stream:
            stream.write(b"\n" if damage == "edited" else b"\0\xff{")
    assert row(tmp_path, boot(), boot(lane="qemu/tcg")).measured is None


def test_the_newest_run_of_the_baseline_counts(tmp_path: Path) -> None:
    old = synthetic.make_run(tmp_path / "reports" / "z", records=[of_baseline(boot(200.0))])
    synthetic.date_run(old, "2026-01-01T00:00:00+00:00")
    measured = row(tmp_path, boot(), of_baseline(boot())).measured
    assert measured
    assert measured.run == "base"


def test_the_report_of_the_baseline_is_not_compared_with_itself(tmp_path: Path) -> None:
    found = row(tmp_path, of_baseline(boot()), of_baseline(boot()))
    assert (found.measured, found.not_measured) == (None, "this run")


def test_no_kernel_of_the_baseline_is_claimed(tmp_path: Path) -> None:
    kernel = boot(5.0, name="kernel_size", unit="MB", lane=None, machine={})
    found = row(tmp_path, kernel, of_baseline(kernel))
    assert (found.measured, found.not_measured) == (None, "no kernel of it is built")


def test_the_baseline_is_in_no_trend_and_no_plan_of_hornetos(tmp_path: Path) -> None:
    footprint = {"vmm_private": 10.0, "guest_private": 20.0, "guest_shared": 5.0}
    memory = Record.of_runs(
        METRIC, [footprint] * 2, unit="MB", lane="qemu/kvm", host=synthetic.HOST, dimensions={"clones": 2}
    )
    row(tmp_path, memory, memory.model_copy(update={"dimensions": {**memory.dimensions, DISTRO: BASELINE}}))
    reports = tmp_path / "reports"
    synthetic.date_run(reports / "run", "2026-01-01T00:00:00+00:00")
    assert [len(series.points) for series in read_history(run_directories(reports)).series] == [1, 1]
    found = latest_measured(reports)
    assert found
    assert found.run == "run"
