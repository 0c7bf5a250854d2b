"""A root file system that clones share: they write over it, not to it, and take no memory for what they read of it.

The guest's overlay works over any read-only root, so each lane judges it. Clones with one file need Firecracker:
    pytest --lab --slow --lane=firecracker/kvm --overlay=lab/busy.toml tests/guest/test_shared_root.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.errors import BrokenSnapshotError, SnapshotError, VMError
from hornet.host.artifact_store import file_sha256
from hornet.host.file_copy import clone_file
from hornet.host.page_cache import resident_bytes
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.tiers import Root
from hornet.vm.fleet import VM, Fleet
from hornet.vm.memory import BYTES_PER_MB, memory_split, pss_mb
from hornet.vm.shared_root import PROGRAM
from hornet.vm.snapshotting import origin_of, origin_of_child, take_snapshot
from hornet.vmm.registry import driver_of
from hornet_fixtures.under_test import Image
from tests.support.squashfs_samples import debugfs

pytestmark = pytest.mark.guest

TIMEOUT_S = 120
NODE = "node -e 'console.log(6 * 7)'"
CLAUDE, CLAUDE_TIMEOUT_S = "timeout 600 claude --version", 620
WHOLE_TIMEOUT_S = 3600


def run(vm: VM, script: str, timeout_s: float = TIMEOUT_S) -> str:
    return vm.guest.check_output(script, timeout_s).strip()


def test_overlay_lets_a_guest_write_over_a_read_only_root(fleet: Fleet, kernel: Path, image: Image) -> None:
    vm = fleet.boot(kernel, image.path, extra_boot_args=f"ro init={PROGRAM}")
    before = file_sha256(vm.disk)
    run(vm, "echo new >/etc/new; echo changed >/etc/hosts; rm /etc/fstab; mkdir /opt/made; sync")
    assert run(vm, "cat /etc/new /etc/hosts; ls -d /opt/made") == "new\nchanged\n/opt/made"
    assert run(vm, "ls /etc/fstab 2>/dev/null || echo gone") == "gone"
    mounts = run(vm, "cat /proc/mounts").splitlines()
    assert [line.split()[2] for line in mounts if line.split()[1] == "/"] == ["overlay"]
    assert not [line for line in mounts if "/mnt" in line.split()[1]], "the layers are out of the guest's sight"
    assert file_sha256(vm.disk) == before
    fleet.remove(vm)


def test_image_without_a_place_for_the_overlay_is_named(
    new_fleet: Callable[..., Fleet], kernel: Path, image: Image, tmp_path: Path
) -> None:
    clone_file(image.path, tmp_path / "rootfs.ext4")
    debugfs(tmp_path / "rootfs.ext4", "rmdir /mnt")
    with new_fleet() as fleet, pytest.raises(VMError, match="hornetos: cannot mount /mnt") as caught:
        fleet.boot(kernel, tmp_path / "rootfs.ext4", extra_boot_args=f"ro init={PROGRAM}")
    assert "kernel panic" in caught.value.message


@pytest.fixture(scope="module")
def can_share(lane: Lane, fleet: Fleet) -> None:
    try:
        driver_of(lane).check_shared_root(fleet.spec.firecracker)
    except VMError as error:
        pytest.skip(f"not judged: {error.message}")


Taken = dict[Root, Bundle]


@pytest.fixture(scope="module")
def taken(can_share: None, fleet: Fleet, kernel: Path, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """The snapshots of two guests, one for each kind of root; neither has anything of the disk in its page cache."""
    found: Taken = {}
    for root in ("shared", "disk"):
        vm = fleet.boot(kernel, image.path, root=root)
        run(vm, "sync; echo 3 >/proc/sys/vm/drop_caches")
        key = fleet.key.public_blob
        origin = origin_of(vm, fleet.spec, kernel_sha256=file_sha256(kernel), tier="standard", ssh_public_blob=key)
        place = Workspace(tmp_path_factory.mktemp(root))
        found[root] = take_snapshot(vm, place, fleet.spec, version="v1.0", origin=origin)
        fleet.remove(vm)
    return found


def test_clones_write_over_the_same_file_and_not_to_it(taken: Taken, fleet: Fleet, image: Image) -> None:
    bundle = taken["shared"]
    assert file_sha256(bundle.rootfs) == file_sha256(image.path), "the parent wrote nothing to it"
    first, second = fleet.restore(bundle), fleet.restore(bundle)
    assert run(first, "grep ' / ' /proc/mounts").startswith("root / overlay rw")
    assert run(first, "echo mine >/etc/hosts; echo new >/etc/new; sync; cat /etc/hosts") == "mine"
    assert run(second, "ls /etc/new 2>/dev/null || grep -c localhost /etc/hosts") != "mine"
    third = fleet.restore(bundle)
    assert run(third, "ls /etc/new 2>/dev/null || echo none") == "none"
    for vm in (first, second, third):
        assert vm.disk == bundle.rootfs
        assert not list(vm.directory.rglob("*.ext4")), "it needs no copy"
        fleet.remove(vm)
    bundle.check_full()


def test_what_a_clone_wrote_is_in_its_snapshot(taken: Taken, fleet: Fleet, tmp_path: Path) -> None:
    vm = fleet.restore(taken["shared"])
    run(vm, "echo kept >/etc/kept; rm /etc/fstab")
    child = take_snapshot(vm, Workspace(tmp_path), fleet.spec, version="v1.1", origin=origin_of_child(vm, fleet.spec))
    fleet.remove(vm)
    again = fleet.restore(child)
    assert run(again, "cat /etc/kept; ls /etc/fstab 2>/dev/null || echo gone") == "kept\ngone"
    fleet.remove(again)


def test_changed_root_is_refused_by_the_seal(taken: Taken, fleet: Fleet, tmp_path: Path) -> None:
    """Of a copy: other tests use the snapshot."""
    (tmp_path / "v1.0").mkdir()
    copy = taken["shared"].copied_to(tmp_path / "v1.0")
    fleet.remove(fleet.restore(copy))
    with copy.rootfs.open("r+b") as disk:
        disk.seek(copy.rootfs.stat().st_size // 2)
        byte = disk.read(1)[0]
        disk.seek(-1, 1)
        disk.write(bytes([byte ^ 1]))
    with pytest.raises(BrokenSnapshotError, match="content changed after the snapshot was sealed"):
        fleet.restore(copy)


def test_clone_whose_manifest_names_another_root_is_refused(taken: Taken, fleet: Fleet, tmp_path: Path) -> None:
    """A clone of a snapshot that was taken with a disk maps no file, and the other way round it opens no disk."""
    exchanged: dict[Root, Root] = {"disk": "shared", "shared": "disk"}
    for root, claimed_root in exchanged.items():
        (tmp_path / root).mkdir()
        copy = taken[root].copied_to(tmp_path / root)
        copy.seal("v1.0", copy.manifest().origin.model_copy(update={"root": claimed_root}))
        with pytest.raises((SnapshotError, VMError), match=r"does not map it|No such file|has not opened"):
            fleet.restore(copy)
    assert not [vm for vm in fleet.vms if vm.parent and vm.parent.directory.parent == tmp_path]


def test_guest_with_a_read_only_root_has_no_overlay(can_share: None, fleet: Fleet, kernel: Path, image: Image) -> None:
    vm = fleet.boot(kernel, image.path, root="shared", extra_boot_args="ro")
    root = run(vm, "grep ' / ' /proc/mounts")
    assert " / ext4 ro," in root
    assert "dax=always" in root
    assert run(vm, "touch /x 2>&1 || true").endswith("Read-only file system")
    fleet.remove(vm)


@pytest.mark.slow
def test_programs_of_a_shared_root_take_less_memory(taken: Taken, fleet: Fleet) -> None:
    private_mb = {root: private_mb_after(NODE, bundle, fleet) for root, bundle in taken.items()}
    assert private_mb["shared"] < private_mb["disk"], private_mb


@pytest.mark.slow
@pytest.mark.timeout(WHOLE_TIMEOUT_S)
def test_claude_of_a_shared_root_takes_less_memory(taken: Taken, fleet: Fleet) -> None:
    private_mb = {root: private_mb_after(CLAUDE, bundle, fleet) for root, bundle in taken.items()}
    assert private_mb["shared"] < private_mb["disk"], private_mb


def private_mb_after(command: str, bundle: Bundle, fleet: Fleet) -> float:
    """The mean private guest memory of clones at once that ran a command; prints what else was measured."""
    clones = [fleet.restore(bundle) for _ in range(fleet.spec.hazards.clones)]
    idle = [pss_mb(vm.vmm.pid) for vm in clones]
    for vm in clones:
        run(vm, command, CLAUDE_TIMEOUT_S)
    splits = [memory_split(vm.vmm.pid, vm.vmm.memory_files()) for vm in clones]
    after = [pss_mb(vm.vmm.pid) for vm in clones]
    cached_mb = resident_bytes({vm.disk for vm in clones}) / BYTES_PER_MB
    print(f"{command}: {'shared root' if clones[0].shares_root else 'disks'}: PSS {idle} MB, then {after} MB, {splits}")
    print(f"page cache of their disks: {cached_mb} MB")
    for vm in clones:
        fleet.remove(vm)
    return sum(split.guest_private for split in splits) / len(splits)
