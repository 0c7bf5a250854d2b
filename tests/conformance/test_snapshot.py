"""The snapshot is three matching files with a sound disk (guide: The Golden Rule, Snapshot Anatomy)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hornet.checks.snapshot_files import part_problems
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.recording import bundle_facts
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.requirement("files-three", "sop-validate-files")
def test_all_three_files_exist(bundle: Bundle) -> None:
    bundle.check_files()


@pytest.mark.requirement("state-has-devices")
def test_memory_and_state_are_separate(bundle: Bundle) -> None:
    sizes = {"memory_bytes": bundle.memory.stat().st_size, "state_bytes": bundle.state.stat().st_size}
    assert_no_problems(part_problems(bundle.names, memory_mib=bundle.manifest().origin.memory_mib, **sizes))


@pytest.mark.requirement("rootfs-never-changed")
def test_every_byte_matches_the_seal(bundle: Bundle, artifacts: Callable[[str, dict[str, Any]], None]) -> None:
    bundle.check_full()
    artifacts("snapshot", bundle_facts(bundle))


@pytest.mark.requirement("sop-validate-filesystem", "memory-and-disk-agree")
def test_file_system_is_sound(bundle: Bundle, workspace: Workspace) -> None:
    verdict = judge_ext4(bundle.rootfs, workspace.run)
    assert_no_problems([str(finding) for finding in verdict.findings])


@pytest.mark.parametrize("check", check_cases("disk"))
def test_restored_guest_reports_no_damage(check: Callable[[ProbeResults], list[str]], facts: ProbeResults) -> None:
    assert_no_problems(check(facts))
