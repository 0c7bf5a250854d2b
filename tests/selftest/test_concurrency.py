"""Concurrent restores start together, failures count, and the level where throughput stops growing is found."""

from __future__ import annotations

import threading
import time

import pytest

from hornet.errors import VMError
from hornet.scenarios.concurrency import bend, restore_at_once

TOGETHER_S = 0.05


def test_all_restores_begin_together() -> None:
    """Each waits for all others: one after the other they would never end."""
    everybody = threading.Barrier(4)

    def wait_for_the_others(_: int) -> None:
        everybody.wait(10)

    level = restore_at_once(4, wait_for_the_others)
    assert len(level.latencies_ms) == 4
    assert not level.failures


def test_one_lock_for_all_restores_shows_in_the_throughput() -> None:
    lock = threading.Lock()

    def one_by_one(_: int) -> None:
        with lock:
            time.sleep(TOGETHER_S)

    alone, four = restore_at_once(1, one_by_one), restore_at_once(4, one_by_one)
    assert max(four.latencies_ms) >= 4 * TOGETHER_S * 1000
    assert four.per_second <= 1.05 / TOGETHER_S
    assert bend([(1, alone.per_second), (4, four.per_second)]) in (None, 1)


def test_a_restore_that_fails_counts_and_ends_no_other() -> None:
    def third_fails(number: int) -> None:
        if number == 2:
            raise VMError("no answer")

    level = restore_at_once(4, third_fails)
    assert list(level.failures) == [2]
    assert len(level.latencies_ms) == 3


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        ([(1, 10.0), (2, 19.0), (4, 36.0)], None),
        ([(1, 10.0), (2, 19.0), (4, 20.0), (8, 15.0)], 2),
        ([(1, 10.0), (2, 9.0), (4, 8.0)], 1),
        ([(1, 10.0)], None),
    ],
)
def test_the_bend_is_where_more_at_once_gives_no_more(
    per_second: list[tuple[int, float]], expected: int | None
) -> None:
    assert bend(per_second) == expected
