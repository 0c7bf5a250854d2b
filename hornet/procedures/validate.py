"""Validate a snapshot: the guide's five steps and more (guide: SOP 2), each with its verdict and the reason.

First the files are judged in place. Then the snapshot is restored, and its guest and the guest's disk afterwards are
judged. Only this last step detects that the disk changed after the snapshot was taken: the guest still reads correct
files from its page cache and corrupts the disk silently (guide: The Golden Rule).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from hornet.checks import guest_disk, guest_kernel, guest_network, tools
from hornet.checks.catalog import guest_checks, in_group
from hornet.errors import BrokenSnapshotError, GuestError, HornetError, VMError
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.scenarios.probe_sets import collect_facts
from hornet.snapshot import Bundle, open_bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.probes import ProbeResults
from hornet.vmm.failure import VMFailedError
from hornet.vmm.registry import lane_named

FILES, SEAL, FILE_SYSTEM = "snapshot files", "seal", "file system"
RESTORE, TOOLS, NETWORK, KERNEL = "restore and SSH", "required tools", "network", "kernel flags"
SYMPTOMS, DISK_AFTER = "damage seen by the guest", "disk after the restore"
FILE_STEPS = (FILES, SEAL, FILE_SYSTEM)
GUEST_STEPS = (RESTORE, TOOLS, NETWORK, KERNEL, SYMPTOMS, DISK_AFTER)
STEPS = (*FILE_STEPS, *GUEST_STEPS)
# Writes to several directories, so that a stale page cache damages the disk visibly.
WORK = (
    "for d in /root /var /opt /usr/local; do mkdir -p $d/.validate && echo x >$d/.validate/file; done; sync; "
    "rm -rf /root/.validate /var/.validate /opt/.validate /usr/local/.validate; sync"
)
WORK_TIMEOUT_S = 60


@dataclass(frozen=True)
class Step:
    """One step's outcome. lines: the problems of a FAIL, the reason of a NOT JUDGED or NOT RUN, details of a PASS."""

    name: str
    verdict: Literal["PASS", "FAIL", "NOT JUDGED", "NOT RUN"]
    lines: list[str]


def validate_steps(
    directory: Path,
    spec: Spec,
    workspace: Workspace,
    fleet_in: Callable[[Lane], AbstractContextManager[Fleet]],
    *,
    full: bool,
    check_seal: bool,
    egress: bool,
    progress: Progress,
) -> Iterator[Step]:
    """Yield every step as soon as its verdict is known. Without an intact seal the guest's steps are NOT RUN.

    fleet_in: creates the fleet in the lane that took the snapshot. check_seal=False restores despite a broken seal.
    """
    done: dict[str, Step] = {}
    for step in file_steps(directory, spec, workspace, full=full, progress=progress):
        done[step.name] = step
        yield step
    needed = (FILES, SEAL) if check_seal else (FILES,)
    blocking = next((name for name in needed if name in done and done[name].verdict != "PASS"), None)
    if blocking is None:
        bundle = open_bundle(directory, spec.snapshot)
        with fleet_in(lane_named(bundle.manifest().origin.lane)) as fleet:
            for step in guest_steps(bundle, fleet, egress=egress):
                done[step.name] = step
                yield step
    why = f"the step {blocking!r} did not pass" if blocking else "the restore did not pass"
    yield from (Step(name, "NOT RUN", [why]) for name in STEPS if name not in done)


def outcome(steps: Collection[Step]) -> Literal["PASS", "FAIL", "NOT JUDGED"]:
    """The verdict on the snapshot: FAIL if any step fails, else NOT JUDGED if any step has no verdict, else PASS."""
    verdicts = {step.verdict for step in steps}
    if "FAIL" in verdicts:
        return "FAIL"
    return "PASS" if verdicts == {"PASS"} else "NOT JUDGED"


def file_steps(directory: Path, spec: Spec, workspace: Workspace, *, full: bool, progress: Progress) -> Iterator[Step]:
    """The three files, their seal (full: every byte), and the file system."""
    try:
        bundle = open_bundle(directory, spec.snapshot)
    except HornetError as error:
        yield _not_passed(FILES, error)
        return
    yield Step(FILES, "PASS", [f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in bundle.files])
    yield _judged(
        SEAL, lambda: _check_seal(bundle, full, progress), note="every byte" if full else "superblock and stat"
    )
    yield _judged(FILE_SYSTEM, lambda: _disk_problems(bundle.rootfs, workspace))


def guest_steps(bundle: Bundle, fleet: Fleet, *, egress: bool) -> Iterator[Step]:
    """Restore the snapshot, then judge the guest and its disk. Yields each step as soon as its verdict is known.

    egress: whether the fleet's network reaches the Internet, so that the guest must reach it too.
    """
    try:
        vm = fleet.restore(bundle)
        vm.guest.wait_ready(fleet.spec.machine.ssh_timeout_s)
    except HornetError as error:
        yield _not_passed(RESTORE, error)
        return
    total_ms = sum(vm.phases_ms.values())
    yield Step(RESTORE, "PASS", [f"{total_ms:.0f} ms from the seal to the guest's first reply ({fleet.lane})"])
    try:
        yield from _facts_steps(vm, fleet.spec, bundle.manifest().origin.tier, egress)
        yield _judged(DISK_AFTER, lambda: _work_and_judge(vm, fleet))
    finally:
        if vm in fleet.vms:
            fleet.remove(vm)


def _facts_steps(vm: VM, spec: Spec, tier: str, egress: bool) -> Iterator[Step]:
    wanted = spec.tools_of(tier)
    probes = [probe for name, tool in wanted.items() for probe in tools.tool_probes(name, tool)]
    probes += [*guest_kernel.kernel_probes(), *guest_network.network_probes(spec.network), *guest_disk.disk_probes()]
    probes += [guest_network.egress_probe(spec.network)] if egress else []
    try:
        facts = collect_facts(vm, spec, probes)
    except HornetError as error:
        yield from (_not_passed(name, error) for name in (TOOLS, NETWORK, KERNEL, SYMPTOMS))
        return
    yield from judge_facts(facts, spec, tier, egress=egress)


def judge_facts(facts: ProbeResults, spec: Spec, tier: str, *, egress: bool) -> Iterator[Step]:
    """Judge the steps that depend on the guest's probe results."""
    wanted, network, checks = spec.tools_of(tier), spec.network, guest_checks(spec)

    def in_groups(*groups: str) -> list[Callable[[], list[str]]]:
        return [partial(check, facts) for group in groups for check in in_group(checks, group)]

    titles = ", ".join(tool.title for tool in wanted.values())
    yield _judged(TOOLS, *in_groups(*(f"tool.{name}" for name in wanted)), note=titles)
    outside = [partial(guest_network.egress_problems, network, facts)] if egress else []
    note = f"{network.egress_url} answers" if egress else "up to the gateway; --host-network also tests the Internet"
    yield _judged(NETWORK, *in_groups("network"), *outside, note=note)
    yield _judged(KERNEL, lambda: guest_kernel.running_config_problems(spec.kernel, facts))
    yield _judged(SYMPTOMS, *in_groups("disk"))


def _judged(name: str, *checks: Callable[[], list[str]], note: str = "") -> Step:
    """PASS if no check has problems. A problem is a FAIL, even if another check could not be judged."""
    problems: list[str] = []
    unanswered: list[Step] = []
    for check in checks:
        try:
            problems += check()
        except HornetError as error:
            unanswered.append(_not_passed(name, error))
    lines = list(dict.fromkeys([*problems, *(line for step in unanswered for line in step.lines)]))
    if problems or any(step.verdict == "FAIL" for step in unanswered):
        return Step(name, "FAIL", lines)
    if unanswered:
        return Step(name, "NOT JUDGED", lines)
    return Step(name, "PASS", [note] if note else [])


def _not_passed(name: str, error: HornetError) -> Step:
    """FAIL for a broken seal and for a VM or guest that misbehaves. Any other error is NOT JUDGED.

    A timeout, a VM that the host killed and a VMM that did not start are NOT JUDGED too.
    """
    judged = isinstance(error, BrokenSnapshotError | VMError | GuestError) and not error.timed_out
    by_host = isinstance(error, VMFailedError) and (error.by_host or not error.started)
    return Step(name, "FAIL" if judged and not by_host else "NOT JUDGED", [str(error)])


def _check_seal(bundle: Bundle, full: bool, progress: Progress) -> list[str]:
    if not full:
        bundle.check_seal()
        return []
    with progress.step("full seal", f"reading {bundle.directory.name}"):
        bundle.check_full(progress)
    return []


def _disk_problems(image: Path, workspace: Workspace) -> list[str]:
    return [str(finding) for finding in judge_ext4(image, workspace.run).findings]


def _work_and_judge(vm: VM, fleet: Fleet) -> list[str]:
    """Let the guest write, pause it, and judge its disk."""
    done = vm.guest.run(WORK, WORK_TIMEOUT_S)
    vm.vmm.pause()
    wrote = [] if done.exit_code == 0 else [f"the guest could not write: {done.stderr.strip()[:300]}"]
    return wrote + _disk_problems(vm.disk, fleet.workspace)
