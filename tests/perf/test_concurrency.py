"""Restores at once, of one snapshot and of several: throughput, the slowest, and how many succeed."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from hornet.host.owned import work_directory
from hornet.host.page_cache import warm
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.results.records import Failure, Record
from hornet.scenarios.concurrency import Level, bend, restore_at_once
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet.vm.lanes import judges_time

pytestmark = pytest.mark.perf


@pytest.mark.parametrize("snapshots", ["one", "several"])
def test_restores_at_once(
    snapshots: str,
    new_fleet: Callable[..., Fleet],
    bundle: Bundle,
    workspace: Workspace,
    lane: Lane,
    spec: Spec,
    progress: Progress,
    record: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    levels: list[Level] = []
    for at_once in spec.perf.at_once.levels(judged=judges_time(lane)):
        copies = 1 if snapshots == "one" else at_once
        with ExitStack() as stack:
            bundles = [
                bundle.checked_copy(stack.enter_context(work_directory(workspace.run, "at-once")))
                for _ in range(copies)
            ]
            levels.append(_measure(at_once, bundles, stack.enter_context(new_fleet())))
        _record(levels[-1], snapshots, record, {"lane": lane, "subject": restored_subject})
    where = bend([(level.at_once, level.per_second) for level in levels])
    progress.say(
        f"{snapshots} snapshot(s): "
        + ", ".join(f"{level.per_second:.2f}/s at {level.at_once}" for level in levels)
        + (f"; no gain beyond {where} at once" if where else "")
    )
    failed = {level.at_once: level.failures for level in levels if level.failures}
    assert not failed, f"restores failed, by the number at once: {failed}"


def _measure(at_once: int, bundles: list[Bundle], fleet: Fleet) -> Level:
    def restore(number: int) -> None:
        fleet.restore(bundles[number % len(bundles)])

    for bundle in bundles:
        warm(bundle.files)
    fleet.preallocate_networks(at_once)
    return restore_at_once(at_once, restore)


def _record(level: Level, snapshots: str, record: Callable[..., Record], about: dict[str, Any]) -> None:
    assert level.latencies_ms, f"all {level.at_once} restores failed: {level.failures}"
    dimensions = {"at_once": level.at_once, "snapshots": snapshots}
    record(
        "restore_at_once",
        statistics.median_low(level.latencies_ms),
        samples=level.latencies_ms,
        failures=[Failure.of_error(number, error) for number, error in level.failures.items()],
        dimensions=dimensions,
        **about,
    )
    record("restores_per_second", level.per_second, dimensions=dimensions, **about)
