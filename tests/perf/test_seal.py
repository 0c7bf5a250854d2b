"""The time of a snapshot's seals: the cheap one of every restore, and the full one that reads every byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hornet.host.page_cache import drop, warm
from hornet.results.records import Record
from hornet.snapshot import Bundle

pytestmark = pytest.mark.perf

# Far below what a restore takes.
CHEAP_SEAL_LIMIT_MS = 1.0


@pytest.mark.requirement("seal-cost")
def test_cheap_seal(
    benchmark: Any, bundle: Bundle, describe: Callable[..., None], record: Callable[..., Record]
) -> None:
    describe("seal_check", seal="cheap")
    bundle.check_seal()
    benchmark(bundle.check_seal)
    median_ms = benchmark.stats.stats.median * 1000
    record("seal_check", median_ms, dimensions={"seal": "cheap"})
    assert median_ms < CHEAP_SEAL_LIMIT_MS


@pytest.mark.requirement("seal-cost")
@pytest.mark.parametrize("page_cache", ["hot", "cold"])
def test_full_seal(
    page_cache: str, benchmark: Any, bundle: Bundle, describe: Callable[..., None], record: Callable[..., Record]
) -> None:
    describe("seal_check", seal="full", page_cache=page_cache)
    prepare = drop if page_cache == "cold" else warm
    benchmark.pedantic(bundle.check_full, setup=lambda: prepare(bundle.files), rounds=3)
    dimensions = {"seal": "full", "page_cache": page_cache}
    record("seal_check", benchmark.stats.stats.median * 1000, dimensions=dimensions)
