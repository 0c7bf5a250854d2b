"""A shared root: what can't have one is refused before a VM starts, a clone gets no copy, the file is read only."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from hornet.errors import Ext4Error, VMError
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.shared_root import DEVICE_ARGS, PROGRAM, check_image, shared_root_args
from hornet.vmm.firecracker import program
from hornet.vmm.process import claimed
from hornet.vmm.registry import lane_named
from tests.support import bundle_samples, ext4_samples

OVERLAY = f"{DEVICE_ARGS} ro init={PROGRAM}"


@pytest.mark.parametrize(
    ("boot_args", "expected"),
    [
        ("quiet", OVERLAY),
        ("root=/dev/vda rw", OVERLAY),
        ("root=/dev/vda ro rw", OVERLAY),
        ("root=/dev/vda rw ro quiet", f"{DEVICE_ARGS} ro"),
    ],
)
def test_read_only_guest_gets_no_overlay(boot_args: str, expected: str) -> None:
    assert shared_root_args(boot_args) == expected


def test_image_that_can_not_be_mounted_without_writing_is_refused(tmp_path: Path) -> None:
    image = ext4_samples.make_image(tmp_path / "rootfs.ext4")
    check_image(image)
    ext4_samples.mark_as_mounted(image, 1)
    with pytest.raises(VMError, match="its journal must be replayed"):
        check_image(image)
    (tmp_path / "other").write_bytes(bytes(1 << 16))
    with pytest.raises(Ext4Error):
        check_image(tmp_path / "other")


def test_image_of_small_blocks_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "small.ext4"
    with image.open("wb") as stream:
        stream.truncate(4 << 20)
    ext4_samples.run("mkfs.ext4", "-q", "-b", "1024", image)
    with pytest.raises(VMError, match="blocks of 1024 bytes, expected 4096"):
        check_image(image)


@pytest.mark.parametrize(
    ("lane", "said"),
    [
        ("qemu/tcg", "QEMU's microVM has no virtio-pmem"),
        ("qemu/kvm", "QEMU's microVM has no virtio-pmem"),
        ("firecracker/kvm", r"Firecracker 1\.13\.2 has no pmem, which root = \"shared\" of a tier needs"),
    ],
)
def test_vmm_without_it_is_refused_before_a_vm_starts(
    lane: str, said: str, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "version", lambda: "1.13.2")
    fleet = Fleet(spec, Workspace(tmp_path), lane_named(lane), Mock(), Mock())
    with pytest.raises(VMError, match=said):
        fleet.boot(tmp_path / "vmlinux", tmp_path / "rootfs.ext4", root="shared")
    assert not fleet.vms
    assert not list(tmp_path.glob("run/vms/*"))


def test_clone_has_the_snapshots_file_and_its_parent_a_copy(tmp_path: Path) -> None:
    bundle = bundle_samples.make_bundle(tmp_path / "v1.0")
    booted = VM(1, "vm1", tmp_path / "vm1", None, shares_root=True)
    clone = VM(2, "vm2", tmp_path / "vm2", bundle, shares_root=True)
    other = VM(3, "vm3", tmp_path / "vm3", bundle)
    assert [vm.disk for vm in (booted, clone, other)] == [
        booted.directory / "rootfs.ext4",
        bundle.rootfs,
        other.directory / "rootfs.ext4",
    ]


def test_shared_root_is_claimed_by_many_or_by_one_that_writes(tmp_path: Path) -> None:
    disk = tmp_path / "rootfs.ext4"
    disk.touch()
    in_use = pytest.raises(VMError, match="another VM uses it")
    with claimed(disk, shared=True), claimed(disk, shared=True), in_use, claimed(disk):
        pass
    with claimed(disk), in_use, claimed(disk, shared=True):
        pass
