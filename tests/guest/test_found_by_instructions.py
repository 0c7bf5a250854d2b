"""A kernel with one debug option and an image with one more service fail the gate by their instructions; equal boots
do not.

The equal boots are counted in groups of as many as a comparison needs. Each pair compares different boots, but a group
belongs to several pairs.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from builders.kernel import build_kernel
from hornet.host.file_copy import clone_file
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.results.compare import INSTRUCTIONS, Change, compare
from hornet.results.policy import Policy
from hornet.results.policy_problems import policy_problems
from hornet.results.records import Record
from hornet.results.run import Run
from hornet.scenarios.side_by_side import MILLION
from hornet.spec.kernel import Kernel
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet_fixtures.under_test import Image
from tests.support.ext4_samples import debugfs

# It compiles a kernel, and boots 63 guests.
pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(5400)]

# 21 pairs; at least 20 must be silent.
GROUPS = 7
# Of the menu "Kernel hacking": the kernel tests one of its data structures at each boot. All other objects stay as they
# are, so that the compiler's cache has them.
DEBUG_SYMBOLS = ["RUNTIME_TESTING_MENU", "TEST_XARRAY"]
SERVICE = """#!/usr/sbin/openrc-run
description="A daemon that nobody needs"
supervisor=supervise-daemon
command=/usr/bin/sleep
command_args=1000000

depend() {
    before sshd
}
"""


@pytest.fixture(scope="module")
def count_boots(lane: Lane, new_fleet: Callable[..., Fleet], spec: Spec, host: dict[str, Any]) -> Iterator[Any]:
    """Boots as often as a comparison needs: count_boots(kernel, image) gives the record of one group."""
    if lane.accelerator != "tcg":
        pytest.skip(f"not judged: a real processor executes the guests of {lane}; use --lane qemu/tcg")
    with new_fleet(count_instructions=True) as fleet, ThreadPoolExecutor(os.cpu_count()) as pool:

        def boot(kernel: Path, image: Path) -> dict[str, float]:
            vm = fleet.boot(kernel, image)
            fleet.remove(vm)
            assert vm.counter
            return {phase: count / MILLION for phase, count in vm.counter.by_phase.items()}

        def count(kernel: Path, image: Path) -> Record:
            runs = list(pool.map(lambda _: boot(kernel, image), range(spec.instructions.rounds)))
            return Record.of_runs("instructions_boot", runs, unit=INSTRUCTIONS, lane=str(lane), host=host)

        yield count


@pytest.fixture(scope="module")
def equal_groups(count_boots: Callable[..., Record], kernel: Path, image: Image, progress: Progress) -> list[Record]:
    """Groups of boots of one kernel and one image."""
    groups = [count_boots(kernel, image.path) for _ in range(GROUPS)]
    for number, group in enumerate(groups, 1):
        _show(f"equal boots, group {number}", group, progress)
    return groups


def test_no_pair_of_equal_boots_is_reported(equal_groups: list[Record], spec: Spec, progress: Progress) -> None:
    pairs = list(itertools.combinations(equal_groups, 2))
    found = [compare(*pair) for pair in pairs]
    factors = [one.factor for one in found if one.factor]
    progress.say(f"{len(pairs)} pairs of equal boots: factors from {min(factors):.4f} to {max(factors):.4f}")
    assert len(pairs) >= 20
    assert [one.reason for one in found if one.change is not Change.NONE_SHOWN] == []
    assert [problem for pair in pairs for problem in _gate(*pair, spec)] == []


def test_kernel_with_a_debug_option_fails_the_gate(
    equal_groups: list[Record],
    count_boots: Callable[..., Record],
    image: Image,
    spec: Spec,
    workspace: Workspace,
    progress: Progress,
) -> None:
    extras = {**spec.kernel.extras, "forgotten": DEBUG_SYMBOLS}
    # Validated, not copied: a copy would keep the symbols that were collected before.
    changed = spec.model_copy(update={"kernel": Kernel.model_validate({**spec.kernel.model_dump(), "extras": extras})})
    debug = count_boots(build_kernel(changed, workspace, progress).vmlinux, image.path)
    _show("a kernel with TEST_XARRAY", debug, progress)
    for group in equal_groups:
        assert any("instructions_boot" in problem for problem in _gate(debug, group, spec))


def test_image_with_one_more_service_fails_the_gate(
    equal_groups: list[Record],
    count_boots: Callable[..., Record],
    kernel: Path,
    image: Image,
    spec: Spec,
    progress: Progress,
    tmp_path: Path,
) -> None:
    (tmp_path / "service").write_text(SERVICE)
    changed = tmp_path / "rootfs.ext4"
    clone_file(image.path, changed)
    debugfs(
        changed,
        f"write {tmp_path / 'service'} /etc/init.d/extra",
        "set_inode_field /etc/init.d/extra mode 0100755",
        "symlink /etc/runlevels/default/extra /etc/init.d/extra",
    )
    more = count_boots(kernel, changed)
    changed.unlink()
    _show("an image with one more service", more, progress)
    for group in equal_groups:
        found = _gate(more, group, spec)
        assert any("instructions_boot" in problem and "changed most: sshd" in problem for problem in found), found


def _gate(record: Record, baseline: Record, spec: Spec) -> list[str]:
    """What the gate finds in a run with this record against one with the other."""
    runs = (Run(Path("run"), [record]), Run(Path("baseline"), [baseline]))
    failures, unjudged = policy_problems(Policy(), *runs, spec.noise)
    assert unjudged == []
    return failures


def _show(what: str, record: Record, progress: Progress) -> None:
    low, high = min(record.samples), max(record.samples)
    phases = ", ".join(f"{phase} {count:.1f}" for phase, count in record.parts.items())
    spread = f"{(high / low - 1) * 100:.1f} %"
    progress.say(f"{what}: {record.value:.1f} M instructions, {low:.1f} to {high:.1f} ({spread}); {phases}")
