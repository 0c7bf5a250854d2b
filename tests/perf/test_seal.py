"""The time of a snapshot's seals: the cheap one of every restore, and the full one that reads every byte."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest

from hornet.host.page_cache import drop, warm
from hornet.results.records import Record
from hornet.snapshot import Bundle
from hornet.spec.model import Spec

pytestmark = pytest.mark.perf

# Far below what a restore takes.
CHEAP_SEAL_LIMIT_MS = 1.0
MS_PER_S = 1000


@pytest.fixture
def record_seal(record: Callable[..., Record], restored_subject: dict[str, str]) -> Callable[..., Record]:
    """Record every sample of a benchmark, the first included: record_seal(benchmark, seal="cheap")."""

    def write(benchmark: Any, **dimensions: str) -> Record:
        samples = [seconds * MS_PER_S for seconds in benchmark.stats.stats.data]
        value = statistics.median_low(samples)
        return record("seal_check", value, samples=samples, dimensions=dimensions, subject=restored_subject)

    return write


@pytest.mark.requirement("seal-cost")
def test_cheap_seal(
    benchmark: Any, spec: Spec, bundle: Bundle, describe: Callable[..., None], record_seal: Callable[..., Record]
) -> None:
    describe("seal_check", seal="cheap")
    benchmark.pedantic(bundle.check_seal, rounds=spec.perf.cheap_seals)
    assert record_seal(benchmark, seal="cheap").value < CHEAP_SEAL_LIMIT_MS


@pytest.mark.requirement("seal-cost")
@pytest.mark.parametrize("page_cache", ["hot", "cold"])
def test_full_seal(
    page_cache: str,
    benchmark: Any,
    spec: Spec,
    bundle: Bundle,
    describe: Callable[..., None],
    record_seal: Callable[..., Record],
) -> None:
    describe("seal_check", seal="full", page_cache=page_cache)
    prepare = drop if page_cache == "cold" else warm
    benchmark.pedantic(bundle.check_full, setup=lambda: prepare(bundle.files), rounds=spec.perf.full_seals)
    record_seal(benchmark, seal="full", page_cache=page_cache)
