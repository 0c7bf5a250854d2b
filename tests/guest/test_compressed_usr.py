"""A guest that can't use its compressed /usr ends at once and says why; one without room for changes says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.rootfs import build_rootfs
from hornet.errors import VMError
from hornet.formats.overlay_tree import CHANGES, ID_OF_CHANGES, USR_FILE
from hornet.host.file_copy import clone_file
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from tests.support.squashfs_samples import debugfs

pytestmark = pytest.mark.guest

TIER = "micro"


@pytest.fixture
def disk(spec: Spec, workspace: Workspace, progress: Progress, tmp_path: Path) -> Path:
    """A copy of an image with a compressed /usr, for one test to break."""
    image = build_rootfs(spec, workspace, progress, tier=TIER)
    assert image.manifest["layout"] == "compressed"
    clone_file(image.image, tmp_path / "disk.ext4")
    return tmp_path / "disk.ext4"


@pytest.mark.requirement("usr-layers")
@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        (USR_FILE, b"hsqs" + bytes(8188), f"cannot mount {USR_FILE} (squashfs): truncated, or not of that kind"),
        (USR_FILE, None, f"cannot mount {USR_FILE} (squashfs): truncated, or not of that kind"),
        (USR_FILE, b"x" * 8192, f"cannot mount {USR_FILE} (squashfs): truncated, or not of that kind"),
        (ID_OF_CHANGES, b"other\n", f"cannot mount /usr: {CHANGES} belongs to another {USR_FILE}"),
    ],
    ids=["overwritten", "truncated", "foreign", "changes of another version"],
)
def test_unusable_usr_ends_the_boot_with_its_reason(
    path: str, content: bytes | None, said: str, disk: Path, kernel: Path, new_fleet: Callable[..., Fleet]
) -> None:
    source = disk.with_name("content")
    if content is None:
        debugfs(disk, f"dump {path} {source}")
        os.truncate(source, source.stat().st_size // 2)
    else:
        source.write_bytes(content)
    debugfs(disk, f"rm {path}", f"write {source} {path}")
    assert f"hornetos: {said}" in panic_message(new_fleet, kernel, disk)


# What a kernel without it lacks is its name: of a file system, of a device.
@pytest.mark.requirement("usr-layers")
@pytest.mark.parametrize(
    ("name", "without", "said"),
    [
        (b"squashfs\0", b"squashfz\0", f"cannot mount {USR_FILE} (squashfs): not in this kernel"),
        (b"overlay\0", b"0verlay\0", "cannot mount /usr (overlay): not in this kernel"),
        (b"loop%d\0", b"l0op%d\0", "cannot open /dev/loop0: not in this kernel"),
    ],
    ids=["squashfs", "overlay", "loop"],
)
def test_kernel_that_cannot_mount_usr_is_named(
    name: bytes, without: bytes, said: str, disk: Path, kernel: Path, new_fleet: Callable[..., Fleet]
) -> None:
    changed = disk.with_name("vmlinux")
    assert name in kernel.read_bytes()
    changed.write_bytes(kernel.read_bytes().replace(name, without))
    assert f"hornetos: {said}" in panic_message(new_fleet, changed, disk)


def panic_message(new_fleet: Callable[..., Fleet], kernel: Path, disk: Path) -> str:
    """Why this guest does not boot."""
    with new_fleet() as fleet, pytest.raises(VMError) as caught:
        fleet.boot(kernel, disk)
    assert "kernel panic" in caught.value.message
    return caught.value.message


@pytest.mark.requirement("usr-layers")
def test_full_layer_of_changes_is_named_at_boot(disk: Path, kernel: Path, new_fleet: Callable[..., Fleet]) -> None:
    with new_fleet() as fleet:
        vm = fleet.boot(kernel, disk)
        assert vm.guest.run("cat /dev/zero >/usr/fill", 60).exit_code != 0
        vm.guest.check_output("sync", 60)
        clone_file(vm.disk, disk.with_name("full.ext4"))
        again = fleet.boot(kernel, disk.with_name("full.ext4"))
        log = again.guest.check_output("dmesg", 20)
    assert "hornetos: /usr cannot be changed: no room in /layers" in log
