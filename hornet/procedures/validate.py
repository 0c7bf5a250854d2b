"""Validate a snapshot: the guide's five steps and more (guide: SOP 2), each with its verdict and the reason.

The files are judged where they lie; then the snapshot is restored, and its guest, and the disk that this guest leaves,
are judged. That last step is the one that finds a disk changed under a warm snapshot: files read fine from memory, and
the damage is done in silence (guide: The Golden Rule).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hornet.checks import guest_disk, guest_kernel, guest_network, tools
from hornet.errors import BrokenSnapshotError, GuestError, HornetError, VMError
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.scenarios.probe_sets import collect_facts
from hornet.snapshot import Bundle, open_bundle
from hornet.spec.model import Spec, Tool
from hornet.vm.fleet import VM, Fleet
from hornet.vm.probes import ProbeResults
from hornet.vmm.failure import VMFailedError

FILES, SEAL, FILE_SYSTEM = "snapshot files", "seal", "file system"
RESTORE, TOOLS, NETWORK, KERNEL = "restore and SSH", "required tools", "network", "kernel flags"
SYMPTOMS, DISK_AFTER = "damage seen by the guest", "disk after the restore"
FILE_STEPS = (FILES, SEAL, FILE_SYSTEM)
GUEST_STEPS = (RESTORE, TOOLS, NETWORK, KERNEL, SYMPTOMS, DISK_AFTER)
STEPS = (*FILE_STEPS, *GUEST_STEPS)
# Writes through every directory and file that the guest knows, so that wrong memory meets the disk.
WORK = (
    "for d in /root /var /opt /usr/local; do mkdir -p $d/.validate && echo x >$d/.validate/file; done; sync; "
    "rm -rf /root/.validate /var/.validate /opt/.validate /usr/local/.validate; sync"
)
WORK_TIMEOUT_S = 60


@dataclass(frozen=True)
class Step:
    """One step's outcome. lines: the problems of a FAIL, the reason of a NOT JUDGED or NOT RUN, figures of a PASS."""

    name: str
    verdict: Literal["PASS", "FAIL", "NOT JUDGED", "NOT RUN"]
    lines: list[str]


def file_steps(directory: Path, spec: Spec, workspace: Workspace, *, full: bool, progress: Progress) -> Iterator[Step]:
    """The three files, their seal (full: every byte), and the file system."""
    try:
        bundle = open_bundle(directory, spec.snapshot)
    except HornetError as error:
        yield _not_passed(FILES, error)
        return
    yield Step(FILES, "PASS", [f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in bundle.files])
    yield _judged(SEAL, lambda: _check_seal(bundle, full, progress), "every byte" if full else "superblock and stat")
    yield _judged(FILE_SYSTEM, lambda: _disk_problems(bundle.rootfs, workspace))


def guest_steps(bundle: Bundle, fleet: Fleet, *, egress: bool) -> Iterator[Step]:
    """Restore, and judge the guest and what it leaves. Yields a step as soon as it is known.

    egress: whether the fleet's network has a way out, so that the guest must reach the Internet.
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
    yield _judged(TOOLS, lambda: _tool_problems(wanted, facts), ", ".join(tool.title for tool in wanted.values()))
    checks = (*guest_network.CHECKS, guest_network.egress_problems) if egress else guest_network.CHECKS
    note = f"{spec.network.egress_url} answers" if egress else "up to the gateway; --host-network asks the Internet too"
    yield _judged(NETWORK, lambda: [problem for check in checks for problem in check(spec.network, facts)], note)
    yield _judged(KERNEL, lambda: guest_kernel.running_config_problems(spec.kernel, facts))
    yield _judged(SYMPTOMS, lambda: guest_disk.disk_symptom_problems(facts))


def _judged(name: str, problems_of: Callable[[], list[str]], note: str = "") -> Step:
    """PASS if there are no problems."""
    try:
        problems = problems_of()
    except HornetError as error:
        return _not_passed(name, error)
    return Step(name, "FAIL", problems) if problems else Step(name, "PASS", [note] if note else [])


def _not_passed(name: str, error: HornetError) -> Step:
    """A broken seal, and a VM or a guest that does not do what it is told, are verdicts; any other error is none.

    Nor is a VM that the host has ended.
    """
    judged = isinstance(error, BrokenSnapshotError | VMError | GuestError)
    by_host = isinstance(error, VMFailedError) and error.by_host
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


def _tool_problems(wanted: Mapping[str, Tool], facts: ProbeResults) -> list[str]:
    checks = (tools.presence_problems, tools.version_problems, tools.use_problems)
    return [problem for name, tool in wanted.items() for check in checks for problem in check(name, tool, facts)]


def _work_and_judge(vm: VM, fleet: Fleet) -> list[str]:
    """Let the guest write, stop it, and judge the disk that it wrote to."""
    done = vm.guest.run(WORK, WORK_TIMEOUT_S)
    vm.vmm.pause()
    wrote = [] if done.exit_code == 0 else [f"the guest could not write: {done.stderr.strip()[:300]}"]
    return wrote + _disk_problems(vm.disk, fleet.workspace)
