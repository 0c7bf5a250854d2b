"""Durations by phase, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(phases_ms: dict[str, float], name: str) -> Iterator[None]:
    """Time a block into `phases_ms[name]`, in milliseconds."""
    began_ns = time.perf_counter_ns()
    try:
        yield
    finally:
        phases_ms[name] = (time.perf_counter_ns() - began_ns) / 1e6
