"""What the suite adds to a VMM's own work, measured beside a minimal client of the same VMM."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from hornet.spec.measuring import Perf


def overhead_ms(suite_ms: Sequence[float], raw_ms: Sequence[float]) -> float:
    """The difference of the medians."""
    return statistics.median(suite_ms) - statistics.median(raw_ms)


def overhead_problem(suite_ms: Sequence[float], raw_ms: Sequence[float], perf: Perf) -> str:
    """Why the suite adds too much: more than a share of the raw time, and more than a few tenths of a ms; or empty."""
    added_ms, raw = overhead_ms(suite_ms, raw_ms), statistics.median(raw_ms)
    allowed_ms = max(perf.max_overhead_share * raw, perf.max_overhead_ms)
    if added_ms <= allowed_ms:
        return ""
    return f"the suite adds {added_ms:.2f} ms to a load of {raw:.2f} ms, expected at most {allowed_ms:.2f} ms"
