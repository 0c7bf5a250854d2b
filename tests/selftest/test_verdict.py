"""The verdict on a metric: each of the answers, and that an emulated or unfit record never passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.checks.sizes import kernel_size_problems, rootfs_size_problems
from hornet.results.records import KNOWN, PLANNED, RAN, Record
from hornet.results.verdict import Verdict, format_significant, judge, judge_record
from hornet.spec.model import KERNEL_METRIC, load_spec

SPEC = load_spec()


def measured(key: str, value: float, **changes: Any) -> Record:
    metric = SPEC.metrics[key]
    facts = {"name": key, "value": value, "unit": metric.unit, "direction": metric.direction, "host": {}, "lane": None}
    facts["dimensions"] = {KNOWN: RAN} if metric.must_run else {}
    return Record(**{**facts, **changes})


@pytest.mark.parametrize(
    ("key", "value", "lane", "expected"),
    [
        ("rootfs_size", 150.0, None, Verdict.MEETS),
        ("rootfs_size", 150.000001, None, Verdict.MISSES),
        ("kernel_size", 8.1, None, Verdict.MISSES),
        ("vms_per_16gb", 60, "firecracker/kvm", Verdict.MEETS),
        ("vms_per_16gb", 59.9, "firecracker/kvm", Verdict.MISSES),
        ("cold_boot", 499.0, "qemu/kvm", Verdict.MEETS),
        ("cold_boot", 501.0, "qemu/kvm", Verdict.MISSES),
        ("cold_boot", 0.1, "qemu/tcg", Verdict.EMULATED),
        ("cold_boot", 9999.0, "qemu/tcg", Verdict.EMULATED),
        ("cold_boot", 0.1, None, Verdict.INVALID_RECORD),
        ("ram_per_vm", 100.0, "qemu/tcg", Verdict.MEETS),
    ],
)
def test_each_verdict(key: str, value: float, lane: str | None, expected: Verdict) -> None:
    assert judge_record(SPEC, key, measured(key, value, lane=lane)).verdict is expected


@pytest.mark.parametrize("lane", ["firecracker/kvm", "qemu/kvm"])
@pytest.mark.parametrize(("key", "value"), [("cold_boot", 0.1), ("cold_boot", 9999.0), ("vms_per_16gb", 9999.0)])
def test_times_and_densities_of_the_lab_are_not_judged(key: str, value: float, lane: str) -> None:
    judgement = judge_record(SPEC, key, measured(key, value, lane=lane, host={"emulated_cpu": True}))
    assert judgement.verdict is Verdict.EMULATED
    assert judgement.needs_kvm, "--require-kvm fails it"
    assert f"{lane} in the lab" in judgement.reason


def test_a_record_of_the_lab_is_not_compared_with_one_of_hardware() -> None:
    inside, outside = (measured("cold_boot", 1.0, lane="qemu/kvm", host=host) for host in ({"emulated_cpu": True}, {}))
    assert inside.identity != outside.identity
    assert (inside.label, outside.label) == ("host=lab", "")


def test_a_property_of_a_file_is_the_same_in_the_lab() -> None:
    inside, outside = (measured("rootfs_size", 1.0, host=host) for host in ({"emulated_cpu": True}, {}))
    assert inside.identity == outside.identity


@pytest.mark.parametrize("changes", [{"unit": "bytes"}, {"direction": "higher"}])
def test_a_record_in_another_unit_or_direction_is_not_judged(changes: dict[str, Any]) -> None:
    judgement = judge_record(SPEC, "rootfs_size", measured("rootfs_size", 1.0, **changes))
    assert judgement.verdict is Verdict.INVALID_RECORD
    assert not judgement.verdict.judged


def test_nothing_measured_is_said_for_every_metric() -> None:
    judgements = judge(SPEC, [])
    assert [item.metric for item in judgements] == list(SPEC.metrics)
    assert {item.verdict for item in judgements} == {Verdict.NOT_MEASURED}


def test_a_bad_record_is_not_hidden_by_a_good_one() -> None:
    hot = measured("snapshot_restore", 4.0, lane="qemu/kvm", dimensions={"page_cache": "hot"})
    cold = measured("snapshot_restore", 40.0, lane="qemu/kvm", dimensions={"page_cache": "cold"})
    found = [item.verdict for item in judge(SPEC, [hot, cold]) if item.metric == "snapshot_restore"]
    assert found == [Verdict.MEETS, Verdict.MISSES]


def test_the_size_of_a_tier_is_held_against_that_tier() -> None:
    value = SPEC.tier("dev").max_mb - 1
    assert judge_record(SPEC, "rootfs_size", measured("rootfs_size", value)).verdict is Verdict.MISSES
    of_dev = measured("rootfs_size", value, dimensions={"tier": "dev"})
    assert judge_record(SPEC, "rootfs_size", of_dev).verdict is Verdict.MEETS
    of_micro = measured("rootfs_size", value, dimensions={"tier": "micro"})
    assert judge_record(SPEC, "rootfs_size", of_micro).verdict is Verdict.MISSES


def test_an_overlay_changes_a_target_for_tests_and_verdicts_alike(tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text("[metrics.kernel_size]\ntarget = 5\n[tiers.standard]\nmax_mb = 100\n")
    spec = load_spec(overlays=[overlay])
    for found_mb, verdict in ((101, Verdict.MISSES), (99, Verdict.MEETS)):
        of_standard = measured("rootfs_size", found_mb, dimensions={"tier": "standard"})
        assert judge_record(spec, "rootfs_size", of_standard).verdict is verdict
        assert bool(rootfs_size_problems(spec.tier("standard"), found_mb, {})) is (verdict is Verdict.MISSES)
    for found_mb, verdict in ((6, Verdict.MISSES), (4, Verdict.MEETS)):
        assert judge_record(spec, "kernel_size", measured("kernel_size", found_mb)).verdict is verdict
        assert bool(kernel_size_problems(spec.target(KERNEL_METRIC), found_mb)) is (verdict is Verdict.MISSES)


@given(st.floats(min_value=1e-3, max_value=1e6), st.floats(min_value=1e-3, max_value=1e6))
def test_rounded_value_stays_on_its_side_of_the_limit(value: float, limit: float) -> None:
    shown = float(format_significant(value, limit))
    assert (shown > limit, shown < limit) == (value > limit, value < limit) or abs(value - limit) < 1e-9 * limit


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([400.0] * 99 + [900.0], Verdict.MEETS),
        ([400.0] * 96 + [900.0] * 4, Verdict.MISSES),
        ([400.0] * 58, Verdict.INVALID_RECORD),
        ([400.0] * 59, Verdict.MEETS),
        ([], Verdict.INVALID_RECORD),
    ],
)
def test_a_target_at_a_percentile_is_judged_by_its_samples(samples: list[float], expected: Verdict) -> None:
    metric = SPEC.metrics["cold_boot"].model_copy(update={"percentile": 95})
    spec = SPEC.model_copy(update={"metrics": {**SPEC.metrics, "cold_boot": metric}})
    judgement = judge_record(spec, "cold_boot", measured("cold_boot", 400.0, lane="qemu/kvm", samples=samples))
    assert judgement.verdict is expected
    assert "p95" in judgement.reason


@pytest.mark.parametrize("dimensions", [{}, {KNOWN: PLANNED}])
def test_a_density_that_did_not_run_is_a_plan(dimensions: dict[str, str]) -> None:
    """Also that of a record of an older suite, which computed all of them."""
    record = measured("vms_per_16gb", 9999.0, lane="firecracker/kvm", dimensions=dimensions)
    judgement = judge_record(SPEC, "vms_per_16gb", record)
    assert (judgement.verdict, judgement.needs_kvm) == (Verdict.PLAN, False)
    assert "extrapolated" in judgement.reason


def test_a_percentile_of_what_should_be_high_is_its_low_end() -> None:
    metric = SPEC.metrics["vms_per_16gb"].model_copy(update={"percentile": 95})
    spec = SPEC.model_copy(update={"metrics": {**SPEC.metrics, "vms_per_16gb": metric}})
    for low, expected in ((1, Verdict.MEETS), (4, Verdict.MISSES)):
        samples = [70.0] * (100 - low) + [50.0] * low
        record = measured("vms_per_16gb", 70.0, lane="qemu/kvm", samples=samples)
        assert judge_record(spec, "vms_per_16gb", record).verdict is expected
