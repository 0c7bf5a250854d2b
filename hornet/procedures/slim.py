"""Phase 1 of the guide: slim a running VM over SSH, verify its tools, and take a new snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from hornet.checks import tools
from hornet.checks.catalog import guest_checks, in_group
from hornet.errors import GuestError
from hornet.host.progress import Progress
from hornet.scenarios.probe_sets import collect_facts
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.probes import Probe, ProbeResults
from hornet.vm.snapshotting import origin_of_child, take_snapshot

STEP_TIMEOUT_S = 120
USE_TIMEOUT_S = 60
MB = 1_000_000
DISK = "df -P -k / | tail -1"


@dataclass(frozen=True)
class Disk:
    """The usage of the root file system in MB, from the guest's df."""

    used_mb: float
    available_mb: float


@dataclass(frozen=True)
class Saving:
    """The space that one removal freed, in MB: the difference of df before and after."""

    title: str
    saved_mb: float


@dataclass(frozen=True)
class SlimReport:
    """The results of phase 1. tool_problems: why no snapshot was taken. broken: uses that worked before and now fail.
    never_worked: uses that failed both before and after, so that they prove nothing."""

    before: Disk
    after: Disk
    savings: list[Saving]
    tool_problems: list[str]
    broken: list[str]
    never_worked: list[str]
    snapshot: Bundle | None

    @property
    def saved_mb(self) -> float:
        return self.before.used_mb - self.after.used_mb


def slim_snapshot(fleet: Fleet, base: Bundle, progress: Progress, *, version: str) -> SlimReport:
    """Restore `base`, remove what spec.slim lists, verify, and publish the result as `version`.

    The base is unchanged: it is the backup. If a tool does not work, no snapshot is published, and the report names
    the tool. Raises GuestError, SnapshotError, VMError.
    """
    spec = fleet.spec
    with progress.step("slim", f"restoring {base.directory.name}"):
        vm = fleet.restore(base, snapshottable=True)
    try:
        with progress.step("slim", "testing the uses before the removals"):
            before_uses = _working(vm, spec)
        before, savings = _disk(vm), []
        for removal in spec.slim.removals.values():
            with progress.step("slim", f"removing: {removal.title}"):
                savings.append(_remove(vm, removal.title, removal.paths))
        after = _disk(vm)
        with progress.step("slim", "verifying the tools, and testing the uses again"):
            problems = tool_problems(spec, collect_facts(vm, spec, tool_probes(spec)))
            after_uses = _working(vm, spec)
        bundle = None
        if not problems:
            with progress.step("slim", f"taking {version}"):
                origin = origin_of_child(vm, spec)
                bundle = take_snapshot(vm, fleet.workspace, spec, version=version, origin=origin)
    finally:
        fleet.remove(vm)
    uses = spec.slim.uses
    broken = [use.title for name, use in uses.items() if name in before_uses - after_uses]
    never_worked = [use.title for name, use in uses.items() if name not in before_uses | after_uses]
    return SlimReport(before, after, savings, problems, broken, never_worked, bundle)


def tool_probes(spec: Spec) -> list[Probe]:
    """The probes of the guide's step 4, and a real use of each tool."""
    return [probe for name in spec.slim.tools for probe in tools.tool_probes(name, spec.tools[name])]


def tool_problems(spec: Spec, facts: ProbeResults) -> list[str]:
    """The problems of tools: missing, wrong version, or not working."""
    return [
        problem
        for name in spec.slim.tools
        for check in in_group(guest_checks(spec), f"tool.{name}")
        for problem in check(facts)
    ]


def _working(vm: VM, spec: Spec) -> set[str]:
    """The uses that succeed in the guest."""
    probes = [Probe(name, use.script, USE_TIMEOUT_S) for name, use in spec.slim.uses.items()]
    facts = collect_facts(vm, spec, probes)
    return {name for name in spec.slim.uses if facts.ended_or_not(name).ok}


def _remove(vm: VM, title: str, paths: list[str]) -> Saving:
    before = _disk(vm)
    result = vm.guest.run(f"rm -rf {' '.join(paths)} && sync", STEP_TIMEOUT_S)
    if result.exit_code:
        raise GuestError(f"{title}: rm in the guest failed: {result.stderr.strip() or result.stdout.strip()}")
    return Saving(title, before.used_mb - _disk(vm).used_mb)


def _disk(vm: VM) -> Disk:
    """The guest's disk usage. Raises GuestError if its df does not print sizes."""
    answer = vm.guest.run(DISK, STEP_TIMEOUT_S)
    try:
        _, _, used, available, *_ = answer.stdout.split()
        return Disk(int(used) * 1024 / MB, int(available) * 1024 / MB)
    except ValueError:
        raise GuestError(f"`{DISK}` in the guest printed {answer.stdout!r}, expected sizes") from None
