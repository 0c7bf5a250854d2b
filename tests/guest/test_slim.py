"""Phase 1 from inside a running VM: a tool that breaks means no snapshot; the baseline saves what the guide says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.rootfs.baseline import NAME, build_baseline
from builders.snapshots import build_snapshot
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.procedures.slim import slim_snapshot
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet

pytestmark = pytest.mark.guest


def overlaid(spec: Spec, slim: dict[str, Any]) -> Spec:
    """The spec with other removals and uses for phase 1."""
    data = spec.model_dump(mode="json")
    data["slim"] |= slim
    return Spec.model_validate(data)


@pytest.fixture
def fleet_with(
    spec: Spec, new_fleet: Callable[..., Fleet], tmp_path: Path
) -> Iterator[Callable[[dict[str, Any]], Fleet]]:
    """Makes a fleet, with a home of its own, for a spec whose [slim] differs."""
    fleets: list[Fleet] = []

    def make(slim: dict[str, Any]) -> Fleet:
        fleets.append(new_fleet(spec=overlaid(spec, slim), workspace=Workspace(tmp_path / "home")))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


USES = {
    "terminal": {"title": "terminals", "script": "test -e /usr/share/terminfo/x/xterm"},
    "shell": {"title": "the shell", "script": "true"},
    "python": {"title": "Python", "script": "python3 -c 1"},
}


@pytest.mark.requirement("phase1-tools")
def test_what_removals_break_is_named_and_nothing_is_published(
    fleet_with: Callable[[dict[str, Any]], Fleet], bundle: Bundle, progress: Progress
) -> None:
    removals = {"git": {"title": "too much", "paths": ["/usr/lib/git-core", "/usr/bin/git", "/usr/share/terminfo"]}}
    fleet = fleet_with({"tools": ["git"], "removals": removals, "uses": USES})
    report = slim_snapshot(fleet, bundle, progress, version="slim")
    assert any("no 'git' in the guest's PATH" in problem for problem in report.tool_problems)
    assert (report.broken, report.never_worked) == (["terminals"], ["Python"])
    assert report.savings[0].saved_mb == pytest.approx(report.saved_mb)
    assert report.snapshot is None
    assert not list(fleet.workspace.snapshots.iterdir())
    assert fleet.vms == []


@pytest.mark.slow
@pytest.mark.requirement("phase1-restore", "phase1-removals", "phase1-tools", "phase1-savings")
def test_phase_1_of_the_guide_on_the_baseline(
    spec: Spec,
    workspace: Workspace,
    new_fleet: Callable[..., Fleet],
    kernel: Path,
    progress: Progress,
    tmp_path: Path,
) -> None:
    image = build_baseline(spec, workspace, progress).image
    with new_fleet(memory_mib=spec.rootfs.baseline.memory_mib) as fleet:
        base = build_snapshot(fleet, progress, kernel=kernel, image=image, tier=NAME)
        fleet.workspace = Workspace(tmp_path)
        report = slim_snapshot(fleet, base, progress, version="phase1")
    assert report.tool_problems == []
    assert report.saved_mb / report.before.used_mb > 0.25, "the guide saves 26 %"
    assert "programs in Perl" in report.broken
    assert "programs in Python" in report.broken
