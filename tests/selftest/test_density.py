"""Clones are started until the memory is used, and what one more takes is found with its interval."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.capacity.slope import slope_of
from hornet.errors import HostError, NetworkError
from hornet.host.memory_use import host_memory
from hornet.scenarios.density import Ended, Filling, Point, fill

SHARED_MB, EACH_MB = 100.0, 40.0


class Host:
    """Clones of which each takes 40 MB, and all together another 100."""

    def __init__(self, room: int = 1000) -> None:
        self.room, self.running = room, 0

    def start(self, count: int) -> None:
        if self.running + count > self.room:
            raise NetworkError("all VM ids 1 … 7 are in use")
        self.running += count

    def taken_mb(self) -> float:
        return SHARED_MB + EACH_MB * self.running

    def fill(self, budget_mb: float, *, most: int = 100, at_once: int = 1) -> Filling:
        return fill(self.start, budget_mb, most=most, at_once=at_once, taken_mb=self.taken_mb)


def test_clones_are_started_until_the_memory_is_used() -> None:
    host = Host()
    filling = host.fill(SHARED_MB + 10 * EACH_MB - 1)
    assert (filling.ended, filling.clones, filling.fitting) == (Ended.MEMORY, 10, 9)
    assert host.running == 10


def test_batches_end_at_the_clone_that_no_longer_fits() -> None:
    filling = Host().fill(SHARED_MB + 40 * EACH_MB, at_once=16)
    assert (filling.ended, filling.fitting) == (Ended.MEMORY, 40)
    assert filling.clones <= 41


def test_no_more_clones_than_asked_for_are_started() -> None:
    host = Host()
    assert host.fill(1e6, most=5, at_once=2).ended is Ended.CLONES
    assert host.running == 5


def test_what_else_ran_out_first_is_named() -> None:
    filling = Host(room=7).fill(1e6)
    assert (filling.ended, filling.clones) == (Ended.FAILURE, 7)
    assert "all VM ids" in filling.reason


def test_a_host_on_which_no_clone_starts_is_an_error() -> None:
    with pytest.raises(NetworkError, match="all VM ids"):
        Host(room=0).fill(1e6)


def points(taken_mb: Callable[[int], float], most: int = 81) -> list[Point]:
    return [Point(0, 0.0), *(Point(clones, taken_mb(clones)) for clones in range(1, most + 1))]


def test_the_slope_leaves_out_what_all_clones_share() -> None:
    slope = slope_of(points(lambda clones: SHARED_MB + EACH_MB * clones))
    assert slope
    assert slope.mb == pytest.approx(EACH_MB)
    assert slope.interval == pytest.approx((EACH_MB, EACH_MB))


def test_the_interval_of_a_noisy_slope_has_the_true_one() -> None:
    """Of 300 hosts, each with a noise of twice a clone's memory, in 95 % less three standard errors of that share."""
    chance = random.Random(1)
    hits = 0
    for _ in range(300):
        slope = slope_of(points(lambda clones: EACH_MB * clones + chance.gauss(0, 2 * EACH_MB)))
        assert slope
        hits += slope.interval[0] <= EACH_MB <= slope.interval[1]
    assert hits >= (0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5) * 300


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_too_few_clones_have_no_slope(most: int) -> None:
    assert slope_of(points(lambda clones: EACH_MB * clones, most)) is None


def test_this_hosts_memory_is_read() -> None:
    memory = host_memory()
    assert 0 < memory.page_tables_mb < memory.available_mb
    assert 0 < memory.kernel_stacks_mb < memory.slab_mb


def test_a_kernel_that_does_not_show_its_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8 kB\nSlab:  3 kB\n")
    with pytest.raises(HostError, match="no MemAvailable, PageTables, KernelStack"):
        host_memory(tmp_path / "meminfo")
