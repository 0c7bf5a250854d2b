"""The options of the lane firecracker/kvm with a Linux guest: what only a driver in the guest can do.

One guest has all of them at once, and no serial port, as in production. Without hardware KVM, run it in the lab:
    pytest --lab --slow --lane=firecracker/kvm --overlay=lab/busy.toml tests/guest/test_firecracker_linux.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hornet.checks.balloon import balloon_problems
from hornet.errors import HostError, VMError
from hornet.host.artifact_store import file_sha256
from hornet.host.emulation import patient_s
from hornet.host.file_copy import clone_file
from hornet.host.workspace import Workspace
from hornet.scenarios.balloon import take_and_give, use_free_memory
from hornet.snapshot import Bundle
from hornet.spec.firecracker import Feature, Firecracker
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.memory import memory_split, pss_mb
from hornet.vm.snapshotting import origin_of, take_snapshot
from hornet.vmm.firecracker.diff import merge
from hornet.vmm.firecracker.jailer import jailer_of
from hornet.vmm.firecracker.machine import FirecrackerVM
from hornet.vmm.firecracker.program import binary
from hornet.vmm.firecracker.requests import SERIAL_FILE
from hornet.vmm.open_files import check_own_disk
from hornet.vmm.registry import vmm_version
from hornet_fixtures.under_test import Image

pytestmark = [pytest.mark.guest, pytest.mark.slow]

TIMEOUT_S = 120
SETTLE_S = 20
PLUGGED_MIB = 128
TAKEN_MIB = 64
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
# As production would have it: the jailer, and the serial port's output in a file.
CONFINED: dict[str, Any] = {"jailer": True, "vsock": True, "serial": "off"}
CONFINED_FEATURES: dict[Feature, dict[str, Any]] = {
    "serial_file": {"serial": "file"},
    "free_page_reporting": {"free_page_reporting": True},
}
# Leaf 7, EBX: bit 29 is SHA, bit 18 is RDSEED. Nothing in the guest needs them.
HIDDEN_FLAGS = {"sha_ni", "rdseed"}
HIDING = {
    "cpuid_modifiers": [
        {
            "leaf": "0x7",
            "subleaf": "0x0",
            "flags": 1,
            "modifiers": [{"register": "ebx", "bitmap": f"0bxx0{'x' * 10}0{'x' * 18}"}],
        }
    ]
}
STATIC_TEMPLATES = {"AuthenticAMD": "T2A", "GenuineIntel": "T2"}
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

OptionsFleet = Callable[..., Fleet]


@pytest.fixture(scope="module", autouse=True)
def _is_firecracker(lane: Lane) -> None:
    if lane.vmm != "firecracker":
        pytest.skip(f"not judged: these are Firecracker's options, this run uses {lane}")


def of_this_release(table: Firecracker, lane: Lane, features: dict[Feature, dict[str, Any]]) -> dict[str, Any]:
    version = vmm_version(lane)
    return {
        name: value for need, options in features.items() if table.has(need, version) for name, value in options.items()
    }


def has(fleet: Fleet, feature: Feature) -> None:
    version = vmm_version(fleet.lane)
    if not fleet.spec.firecracker.has(feature, version):
        pytest.skip(f"not judged: Firecracker {version} has no {feature}")


@pytest.fixture(scope="module")
def options_fleet(spec: Spec, new_fleet: Callable[..., Fleet]) -> OptionsFleet:
    def make(*, check_seals: bool = True, **options: Any) -> Fleet:
        chosen = spec.firecracker.options.model_copy(update=options)
        table = spec.firecracker.model_copy(update={"options": chosen})
        return new_fleet(spec=spec.model_copy(update={"firecracker": table}), check_seals=check_seals)

    return make


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


@pytest.fixture(scope="module")
def confined_fleet(
    options_fleet: OptionsFleet, spec: Spec, lane: Lane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    try:
        jailer_of(binary())
    except HostError as error:
        pytest.skip(f"not judged: {error.message}")
    template = tmp_path_factory.mktemp("template") / "hiding.json"
    template.write_text(json.dumps(HIDING))
    options = CONFINED | of_this_release(spec.firecracker, lane, CONFINED_FEATURES)
    with options_fleet(**options, cpu_config=str(template)) as made:
        yield made


@pytest.fixture(scope="module")
def confined(confined_fleet: Fleet, kernel: Path, image: Image) -> VM:
    vm = confined_fleet.boot(kernel, image.path)
    vm.guest.wait_ready(confined_fleet.spec.machine.ssh_timeout_s)
    return vm


def run(vm: VM, script: str) -> str:
    return vm.guest.check_output(script, TIMEOUT_S).strip()


def firecracker(vm: VM) -> FirecrackerVM:
    assert isinstance(vm.vmm, FirecrackerVM)
    return vm.vmm


def eventually(measure: Callable[[], float], enough: Callable[[float], bool]) -> float:
    deadline_s = time.monotonic() + patient_s(SETTLE_S)
    while not enough(value := measure()) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert enough(value), value
    return value


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


def test_jailer_confines_a_guest(confined: VM) -> None:
    status = Path(f"/proc/{confined.vmm.pid}/status").read_text()
    assert f"Uid:\t{confined.vmm.config.user}\t" in status
    assert "CapEff:\t0000000000000000" in status
    assert not Path(f"/proc/{confined.vmm.pid}/root/etc").exists()
    assert run(confined, "node -e 'console.log(6 * 7)'") == "42"


def test_serial_port_is_written_to_a_file(confined: VM, confined_fleet: Fleet) -> None:
    has(confined_fleet, "serial_file")
    run(confined, "echo printed by the guest >/dev/ttyS0")
    log = confined.vmm.config.directory / SERIAL_FILE
    eventually(lambda: log.read_text().count("printed by the guest"), lambda count: count == 1)
    assert "Linux version" in log.read_text() or "hornet" in log.read_text(), log.read_text()
    assert confined.vmm.console.text == ""


def test_free_pages_are_returned_without_being_asked_for(confined: VM, confined_fleet: Fleet) -> None:
    """The guest writes to all its memory and frees it. Without reporting, the host would never get it back."""
    has(confined_fleet, "free_page_reporting")
    use_free_memory(confined)
    eventually(
        lambda: pss_mb(confined.vmm.pid), lambda mb: mb < confined_fleet.spec.machine.memory_mib * 1.048576 - TAKEN_MIB
    )


def test_cpu_template_of_ones_own_hides_features(confined: VM) -> None:
    host, guest = (
        set(cpu_line(text, "flags").split()) for text in (CPUINFO.read_text(), run(confined, f"cat {CPUINFO}"))
    )
    if not host & HIDDEN_FLAGS:
        pytest.skip(f"not judged: this host's processor has none of {', '.join(sorted(HIDDEN_FLAGS))}")
    assert not guest & HIDDEN_FLAGS


def test_jailed_guest_is_restored(
    confined: VM, confined_fleet: Fleet, kernel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    origin = origin_of(
        confined,
        confined_fleet.spec,
        kernel_sha256=file_sha256(kernel),
        tier="standard",
        ssh_public_blob=confined_fleet.key.public_blob,
    )
    workspace = Workspace(tmp_path_factory.mktemp("confined"))
    bundle = take_snapshot(confined, workspace, confined_fleet.spec, version="v1.0", origin=origin)
    confined_fleet.remove(confined)
    clones = [confined_fleet.restore(bundle) for _ in range(2)]
    for vm in clones:
        assert run(vm, "node -e 'console.log(6 * 7)'") == "42"
        check_own_disk(vm.vmm.pid, vm.vmm.config.disk)
    assert len({vm.vmm.config.user for vm in clones}) == 2


def test_static_cpu_template_hides_features(
    options_fleet: OptionsFleet, kernel: Path, image: Image, spec: Spec
) -> None:
    vendor = cpu_line(CPUINFO.read_text(), "vendor_id")
    with options_fleet(cpu_template=STATIC_TEMPLATES[vendor]) as plain:
        try:
            vm = plain.boot(kernel, image.path)
        except VMError as error:
            if "CPU" not in error.message:
                raise
            pytest.skip(
                f"not judged: Firecracker refuses {STATIC_TEMPLATES[vendor]} on this processor: {error.message}"
            )
        vm.guest.wait_ready(spec.machine.ssh_timeout_s)
        assert not set(cpu_line(run(vm, f"cat {CPUINFO}"), "flags").split()) & HIDDEN_FLAGS


CPUINFO = Path("/proc/cpuinfo")


def cpu_line(cpuinfo: str, name: str) -> str:
    return next(line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith(name))
