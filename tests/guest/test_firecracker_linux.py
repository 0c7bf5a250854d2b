"""The options of the lane firecracker/kvm with a Linux guest: what only a driver in the guest can do.

One guest has all of them at once, and no serial port, as in production. Without hardware KVM, run it in the lab:
    pytest --lab --slow --lane=firecracker/kvm --overlay=lab/busy.toml tests/guest/test_firecracker_linux.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hornet.checks.balloon import balloon_problems
from hornet.host.artifact_store import file_sha256
from hornet.host.emulation import patient_s
from hornet.host.file_copy import clone_file
from hornet.host.workspace import Workspace
from hornet.scenarios.balloon import take_and_give, use_free_memory
from hornet.snapshot import Bundle
from hornet.spec.firecracker import Feature
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.memory import memory_split, pss_mb
from hornet.vm.snapshotting import origin_of, take_snapshot
from hornet.vmm.firecracker.diff import merge
from hornet.vmm.firecracker.machine import FirecrackerVM
from hornet_fixtures.under_test import Image
from tests.support.firecracker_options import (
    TAKEN_MIB,
    OptionsFleet,
    eventually,
    has,
    is_firecracker,
    of_this_release,
    options_fleet,
    run,
)

pytestmark = [pytest.mark.guest, pytest.mark.slow]
__all__ = ["is_firecracker", "options_fleet"]  # fixtures

PLUGGED_MIB = 128
HUGE_PAGE_MIB = 2
EVERYWHERE: dict[str, Any] = {
    "track_dirty_pages": True,
    "deflate_on_oom": True,
    "balloon_statistics_s": 1,
    "vsock": True,
    "serial": "off",
    "mmds": True,
}
BOOT_FEATURES: dict[Feature, dict[str, Any]] = {
    "free_page_hinting": {"free_page_hinting": True},
    "memory_hotplug": {"memory_hotplug_mib": PLUGGED_MIB},
}
LOAD_FEATURES: dict[Feature, dict[str, Any]] = {
    "network_overrides": {"override_tap": True},
    "vsock_override": {"override_vsock": True},
    "clock_realtime": {"clock_realtime": True},
}
MOUNT_SHARED = "mount -t ext4 -o ro,noload,dax=always /dev/pmem0 /mnt"
METADATA = """
ip route add 169.254.169.254 dev eth0
url=http://169.254.169.254/latest
token=$(curl -s -X PUT -H 'X-metadata-token-ttl-seconds: 60' $url/api/token)
curl -s -H "X-metadata-token: $token" $url/agent
"""
MEMORY_KIB = "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"


@pytest.fixture(scope="module")
def boot_options(spec: Spec, lane: Lane, image: Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    shared = tmp_path_factory.mktemp("shared") / "usr.ext4"
    clone_file(image.path, shared)
    features: dict[Feature, dict[str, Any]] = {**BOOT_FEATURES, "pmem": {"shared_file": str(shared)}}
    return EVERYWHERE | of_this_release(spec.firecracker, lane, features)


@pytest.fixture(scope="module")
def fleet(options_fleet: OptionsFleet, boot_options: dict[str, Any]) -> Iterator[Fleet]:
    with options_fleet(**boot_options) as made:
        yield made


@pytest.fixture(scope="module")
def parent(fleet: Fleet, kernel: Path, image: Image) -> VM:
    vm = fleet.boot(kernel, image.path)
    vm.guest.wait_ready(fleet.spec.machine.ssh_timeout_s)
    return vm


@pytest.fixture(scope="module")
def taken(parent: VM, fleet: Fleet, kernel: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A snapshot of the parent, with the shared file mounted and nothing of the disk in memory."""
    if fleet.spec.firecracker.options.shared_file:
        run(parent, MOUNT_SHARED)
    run(parent, "echo 3 >/proc/sys/vm/drop_caches")
    origin = origin_of(
        parent, fleet.spec, kernel_sha256=file_sha256(kernel), tier="standard", ssh_public_blob=fleet.key.public_blob
    )
    workspace = Workspace(tmp_path_factory.mktemp("options"))
    bundle = take_snapshot(parent, workspace, fleet.spec, version="v1.0", origin=origin)
    fleet.remove(parent)
    return bundle


def firecracker(vm: VM) -> FirecrackerVM:
    assert isinstance(vm.vmm, FirecrackerVM)
    return vm.vmm


def test_guest_has_no_serial_port(parent: VM) -> None:
    assert parent.vmm.console.text == ""
    assert run(parent, "cat /proc/consoles; ls /sys/class/tty | grep ttyS || true") == ""


def test_balloon_works_with_deflate_on_oom(parent: VM) -> None:
    assert balloon_problems(take_and_give(parent, TAKEN_MIB)) == []


def test_guest_reports_its_memory(parent: VM) -> None:
    found = eventually(
        lambda: firecracker(parent).balloon_statistics().get("total_memory", 0), lambda amount: amount > 0
    )
    assert found == pytest.approx(int(run(parent, MEMORY_KIB)) * 1024, rel=0.01)


def test_guest_gives_the_pages_that_it_is_asked_for(parent: VM, fleet: Fleet) -> None:
    has(fleet, "free_page_hinting")
    use_free_memory(parent)
    before_mb = pss_mb(parent.vmm.pid)
    firecracker(parent).start_hinting()
    eventually(lambda: pss_mb(parent.vmm.pid), lambda mb: mb < before_mb - TAKEN_MIB)


def test_guest_reads_its_metadata(parent: VM) -> None:
    firecracker(parent).set_metadata({"latest": {"agent": "one"}})
    assert run(parent, METADATA) == "one"


def test_memory_can_be_plugged_in(parent: VM, fleet: Fleet) -> None:
    has(fleet, "memory_hotplug")
    before_kib = int(run(parent, f"echo online >/sys/devices/system/memory/auto_online_blocks; {MEMORY_KIB}"))
    firecracker(parent).plug_memory(PLUGGED_MIB)
    eventually(lambda: int(run(parent, MEMORY_KIB)), lambda kib: kib == before_kib + PLUGGED_MIB * 1024)


def test_shared_file_is_read_from_the_hosts_memory(parent: VM, fleet: Fleet) -> None:
    has(fleet, "pmem")
    run(parent, MOUNT_SHARED)
    assert "dax=always" in run(parent, "grep ' /mnt ' /proc/mounts")
    sums = run(parent, "cd /usr/bin; sha256sum node; cd /mnt/usr/bin; sha256sum node").splitlines()
    assert sums[0] == sums[1]
    assert run(parent, "touch /mnt/x 2>&1; umount /mnt").endswith("Read-only file system")


def test_guest_has_the_hosts_clock(parent: VM) -> None:
    if run(parent, "test -e /dev/ptp0; echo $?") != "0":
        pytest.skip("not judged: this host's KVM does not show its clock to guests (its own clock must be the TSC)")
    guest_s = float(run(parent, "date -s 2001-01-01 >/dev/null; /usr/lib/hornetos/refresh && date +%s"))
    assert guest_s == pytest.approx(time.time(), abs=patient_s(2))


def test_clone_is_refreshed_by_vsock(taken: Bundle, fleet: Fleet) -> None:
    seen = set()
    for _ in range(2):
        vm = fleet.restore(taken)
        guest_s = float(run(vm, "date +%s"))
        assert guest_s == pytest.approx(time.time(), abs=fleet.spec.hazards.max_clock_error_ms / 1000)
        seen.add(run(vm, "cat /run/machine-id; head -c 16 /dev/urandom | sha256sum"))
        fleet.remove(vm)
    assert len(seen) == 2


def test_diff_snapshot_is_restored(
    taken: Bundle, fleet: Fleet, options_fleet: OptionsFleet, boot_options: dict[str, Any], tmp_path: Path
) -> None:
    vm = fleet.restore(taken)
    run(vm, "echo changed >/dev/shm/mark")
    vm.guest.close()
    vm.vmm.pause()
    later, changes = Bundle(tmp_path, fleet.spec.snapshot), tmp_path / "changes"
    firecracker(vm).snapshot(changes, later.state, diff=True)
    clone_file(vm.disk, later.rootfs)
    clone_file(taken.memory, later.memory)
    assert changes.stat().st_blocks < later.memory.stat().st_blocks
    merge(changes, later.memory)
    fleet.remove(vm)
    with options_fleet(check_seals=False, **boot_options) as other:
        assert run(other.restore(later), "cat /dev/shm/mark") == "changed"


def test_page_faults_of_a_guest_are_served(
    taken: Bundle, options_fleet: OptionsFleet, boot_options: dict[str, Any]
) -> None:
    with options_fleet(**boot_options, memory_backend="Uffd") as served:
        vm = served.restore(taken)
        assert run(vm, "node -e 'console.log(6 * 7)'") == "42"


def test_clone_has_all_options_of_a_load(
    taken: Bundle, options_fleet: OptionsFleet, boot_options: dict[str, Any], spec: Spec, lane: Lane
) -> None:
    loading = {"resume_in_load": True, **of_this_release(spec.firecracker, lane, LOAD_FEATURES)}
    with options_fleet(**boot_options | loading) as loaded:
        assert run(loaded.restore(taken), "echo here") == "here"


def test_programs_of_a_shared_file_take_no_memory_of_their_own(taken: Bundle, fleet: Fleet) -> None:
    has(fleet, "pmem")
    private_mb = {}
    for name, root in {"private disk": "/", "shared file": "/mnt"}.items():
        clones = [fleet.restore(taken) for _ in range(fleet.spec.hazards.clones)]
        for vm in clones:
            assert run(vm, f"chroot {root} /usr/bin/node -e 'console.log(6 * 7)'") == "42"
        splits = [memory_split(vm.vmm.pid, vm.vmm.memory_files()) for vm in clones]
        pss = [pss_mb(vm.vmm.pid) for vm in clones]
        private_mb[name] = sum(split.guest_private for split in splits) / len(splits)
        print(f"node from the {name}: PSS {pss} MB, {splits}")
        for vm in clones:
            fleet.remove(vm)
    assert private_mb["shared file"] < private_mb["private disk"], private_mb


def test_huge_pages_are_restored(
    options_fleet: OptionsFleet, kernel: Path, image: Image, spec: Spec, tmp_path: Path
) -> None:
    pool, pages = Path("/proc/sys/vm/nr_hugepages"), 2 * spec.machine.memory_mib // HUGE_PAGE_MIB
    before = pool.read_text()
    pool.write_text(str(pages))
    try:
        if int(pool.read_text()) < pages:
            pytest.skip(f"not judged: this host has {pool.read_text().strip()} huge pages, expected {pages}")
        with options_fleet(huge_pages="2M", memory_backend="Uffd") as huge:
            vm = huge.boot(kernel, image.path)
            origin = origin_of(
                vm, spec, kernel_sha256=file_sha256(kernel), tier="standard", ssh_public_blob=huge.key.public_blob
            )
            bundle = take_snapshot(vm, Workspace(tmp_path), spec, version="v1.0", origin=origin)
            huge.remove(vm)
            assert run(huge.restore(bundle), "node -e 'console.log(6 * 7)'") == "42"
    finally:
        pool.write_text(before)
