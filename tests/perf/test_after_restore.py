"""What a clone costs after its restore: time, page faults and bytes from the disk, command by command.

Cold: the page cache holds nothing of the snapshot before the restore, nor of the clone's disk before it resumes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from hornet.host.conditions import keeps_no_cold_files
from hornet.host.owned import work_directory
from hornet.host.page_cache import make_cold, require_cold, warm
from hornet.host.process_cost import ProcessCost, process_cost
from hornet.host.workspace import Workspace
from hornet.results.records import Record
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import judges_time

# Slow: a run that judges an image answers within its time without it.
pytestmark = [pytest.mark.perf, pytest.mark.slow, pytest.mark.requirement("cost-measured")]


@dataclass(frozen=True)
class Step:
    """What one step took and cost, apart from those before it."""

    ms: float
    cost: ProcessCost


@pytest.mark.parametrize("page_cache", ["hot", "cold"])
def test_cost_after_a_restore(
    page_cache: str,
    fleet: Fleet,
    bundle: Bundle,
    lane: Lane,
    spec: Spec,
    tier_name: str,
    workspace: Workspace,
    record: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    if page_cache == "cold" and keeps_no_cold_files(workspace.run):
        pytest.skip("not judged: HORNET_HOME is in memory (tmpfs), so nothing is ever cold; set it to a disk")
    rounds = []
    for _ in range(spec.perf.after_restore.rounds(judged=judges_time(lane))):
        # A copy of the snapshot: the page cache would keep pages that other clones have mapped.
        with work_directory(workspace.run, "after-restore") as directory:
            own = bundle.checked_copy(directory)
            rounds.append(dict(_steps(fleet, own, spec, tier_name, cold=page_cache == "cold")))
    read_mb = [sum(step.cost.read_mb for step in steps.values()) for steps in rounds]
    assert page_cache == "hot" or min(read_mb) > 0, f"nothing was read from the disk, so it was not cold: {rounds}"
    for name in rounds[0]:
        steps = [steps[name] for steps in rounds]
        about = {"lane": lane, "subject": restored_subject}
        dimensions = {"step": name, "page_cache": page_cache}
        for metric, samples in (
            ("after_restore", [step.ms for step in steps]),
            ("after_restore_read", [step.cost.read_mb for step in steps]),
        ):
            record(metric, statistics.median_low(samples), samples=samples, dimensions=dimensions, **about)
        for kind in ("minor_faults", "major_faults"):
            faults = [getattr(step.cost, kind) for step in steps]
            value, by_kind = statistics.median_low(faults), {**dimensions, "kind": kind}
            record("after_restore_faults", value, samples=faults, dimensions=by_kind, **about)


def _steps(fleet: Fleet, bundle: Bundle, spec: Spec, tier: str, *, cold: bool) -> Iterator[tuple[str, Step]]:
    """Restore a clone, and let it work step by step."""
    (make_cold if cold else warm)(bundle.files)
    began_s, before = time.perf_counter(), ProcessCost(0, 0, 0.0)

    def before_resume(vm: VM) -> None:
        if cold:
            # Its copy of the disk has just been written: without reflinks, all of it is in the page cache.
            make_cold([vm.disk])
            require_cold([bundle.memory])

    vm = fleet.restore(bundle, before_resume=before_resume)

    def command(script: str) -> None:
        vm.guest.check_output(script, FACTS_TIMEOUT_S)

    idle_s = spec.perf.after_restore.idle_s
    scripts = {name: script for name, script in spec.instructions.commands.items() if name in spec.tools_of(tier)}
    actions: dict[str, Callable[[], object]] = {
        "restore": lambda: None,
        "first_command": partial(command, "true"),
        **{name: partial(command, script) for name, script in scripts.items()},
        f"idle_{idle_s:g}_s": partial(time.sleep, idle_s),
        "command_after_idling": partial(command, "true"),
    }
    for name, action in actions.items():
        action()
        now_s, after = time.perf_counter(), process_cost(vm.vmm.pid)
        yield name, Step((now_s - began_s) * 1000, after.since(before))
        began_s, before = now_s, after
    fleet.remove(vm)
