"""Cold boot by phases: from the start of the VMM to a listening sshd (guide: Target Metrics)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornet.results.records import Record
from hornet.scenarios.side_by_side import BOOT_PHASES
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import judges_time
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.perf


@pytest.mark.requirement("target-cold-boot")
def test_cold_boot(
    benchmark: Any,
    fleet: Fleet,
    kernel: Path,
    image: Image,
    spec: Spec,
    describe: Callable[..., None],
    record_runs: Callable[..., Record],
    booted_subject: dict[str, str],
) -> None:
    describe("boot_with_surroundings")
    running: list[VM] = []
    phases: list[dict[str, float]] = []

    def tear_down() -> None:
        vm = running.pop()
        phases.append({name: vm.phases_ms[name] for name in BOOT_PHASES})
        fleet.remove(vm)

    benchmark.pedantic(
        lambda: running.append(fleet.boot(kernel, image.path, root=image.root)),
        teardown=tear_down,
        rounds=spec.perf.rounds(judged=judges_time(fleet.lane)).boot,
    )
    record_runs("cold_boot", phases, subject=booted_subject)
