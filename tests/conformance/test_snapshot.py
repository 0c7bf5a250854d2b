"""The snapshot is three files that belong together, its disk sound (guide: The Golden Rule, Snapshot Anatomy)."""

from __future__ import annotations

import pytest

from hornet.checks.guest_disk import disk_symptom_problems
from hornet.checks.snapshot_files import part_problems
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.workspace import Home
from hornet.snapshot import Bundle
from hornet.vm.probes import Facts
from hornet_fixtures.assertions import holds
from hornet_fixtures.recording import bundle_facts

pytestmark = pytest.mark.conformance


@pytest.mark.guide("files-three", "sop-validate-files")
def test_the_three_files_are_there(bundle: Bundle) -> None:
    bundle.check_files()


@pytest.mark.guide("state-has-devices")
def test_memory_and_state_are_apart(bundle: Bundle) -> None:
    sizes = {"memory_bytes": bundle.memory.stat().st_size, "state_bytes": bundle.state.stat().st_size}
    holds(part_problems(bundle.names, memory_mib=bundle.manifest().origin.memory_mib, **sizes))


@pytest.mark.guide("rootfs-never-changed")
def test_every_byte_is_as_it_was_sealed(bundle: Bundle, artifacts) -> None:
    bundle.check_full()
    artifacts("snapshot", bundle_facts(bundle))


@pytest.mark.guide("sop-validate-filesystem", "memory-and-disk-agree")
def test_the_file_system_is_sound(bundle: Bundle, home: Home) -> None:
    verdict = judge_ext4(bundle.rootfs, home.run)
    holds([str(finding) for finding in verdict.findings])


@pytest.mark.guide("corruption-symptoms")
def test_the_restored_guest_sees_no_damage(facts: Facts) -> None:
    holds(disk_symptom_problems(facts))
