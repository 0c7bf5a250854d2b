"""A record's name is one of the spec, which says its unit; no verdict depends on the order of files or tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.capacity.at_rest import DENSITY_METRIC
from hornet.capacity.footprint import METRIC, WORKING_METRIC
from hornet.errors import SpecError
from hornet.installation import SOURCE
from hornet.results.gate import Demands, decide
from hornet.results.records import RECORDS_FILE, read_records
from hornet.results.run import load_run
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from tests.support import synthetic_run as synthetic

SPEC = load_spec()
TESTS = """
def test_right(record):
    record("kernel_size", 5.5)
    record("network_host_rules", 12)
    record("vms_per_16gb", 70)

def test_misspelt(record):
    record("cold_bot", 1.0)

def test_measured_but_misspelt(record_runs):
    record_runs("snapshot_restor", [{"load_ms": 1.0}])
"""
NO_LANE = """
import pytest

@pytest.fixture(scope="session")
def lane():
    return "qemu/tcg"
"""


def test_record_has_the_specs_unit_and_misspelt_names_are_errors(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(NO_LANE)
    (tmp_path / "test_sample.py").write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={tmp_path}"]
    words += [f"--run-dir={tmp_path}/run", f"{tmp_path}/test_sample.py"]
    shown = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False).stdout
    assert "unknown measurement 'cold_bot'" in shown
    assert "did you mean cold_boot?" in shown
    assert "did you mean snapshot_restore or " in shown
    records, _ = read_records(tmp_path / "run" / RECORDS_FILE)
    assert [(it.name, it.unit, it.direction) for it in records] == [
        ("kernel_size", "MB", "lower"),
        ("network_host_rules", "lines", "lower"),
        ("vms_per_16gb", "VMs", "higher"),
    ]


def test_names_that_the_code_uses_are_in_the_spec() -> None:
    assert {METRIC, DENSITY_METRIC} <= set(SPEC.metrics)
    assert WORKING_METRIC in SPEC.measurements


def test_unknown_quantity_is_rejected_with_the_file_to_edit() -> None:
    with pytest.raises(SpecError) as caught:
        SPEC.quantity("x")
    assert "did you mean" not in str(caught.value)
    assert "spec/measuring.toml" in caught.value.hint


def test_a_metric_and_a_measurement_can_not_share_a_name(tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text('[measurements]\ncold_boot = { title = "t", unit = "ms", direction = "lower" }\n')
    with pytest.raises(SpecError, match=r"measurements\.cold_boot: a metric has that name"):
        load_spec(overlays=[overlay])


def test_verdicts_come_after_all_measurements() -> None:
    """For any order on the command line."""
    modules = ["tests/perf/test_targets.py", "tests/perf/test_boot.py", "tests/conformance/test_sizes.py"]
    words = [sys.executable, "-m", "pytest", "-q", "--collect-only", *modules]
    listed = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=True).stdout
    order = [line.split("::")[0] for line in listed.splitlines() if "::" in line]
    assert order == sorted(order, key=modules[1:].__contains__, reverse=True), "verdicts are last"
    assert order[-1] == modules[0]


def test_names_of_result_files_decide_nothing(tmp_path: Path) -> None:
    """Two files of benchmarks that contradict each other, under each other's names."""
    saved = [_benchmark(ms) for ms in (5.0, 5000.0)]
    decisions = []
    for number, benchmarks in enumerate([saved, saved[::-1]]):
        home = tmp_path / str(number)
        run = synthetic.make_run(home / "run")
        (home / "benchmarks").mkdir()
        for place in (0, 1):
            (home / "benchmarks" / f"000{place}.json").write_text(benchmarks[place])
        found = decide(SPEC, load_run(run), Demands(load_requirements()))
        decisions.append((found.answer, sorted(found.failures), sorted(found.unjudged), sorted(found.left_out)))
    assert decisions[0] == decisions[1]
    assert decisions[0][1], "the failures are found"


def _benchmark(median_ms: float) -> str:
    info = {"run": "run", "metric": "cold_boot", "lane": "qemu/kvm", "dimensions": {"n": 1}, "host": synthetic.HOST}
    entry = {"name": "test_boot", "stats": {"median": median_ms / 1000}, "extra_info": info}
    return json.dumps({"benchmarks": [entry]})
