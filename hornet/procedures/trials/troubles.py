"""Tries the guide's troubleshooting: a full disk and a damaged one, in a guest that was restored from the backup."""

from __future__ import annotations

import mmap
import os
import secrets
from dataclasses import dataclass

from hornet.checks.procedures import TroubleFacts
from hornet.errors import GuestError
from hornet.formats.ext4.superblock import read_superblock
from hornet.network.reconcile import vm_problems
from hornet.procedures.diagnose import State, find_vm, observe, walk
from hornet.procedures.trials.place import TIMEOUT_S, TrialPlace
from hornet.snapshot import Bundle
from hornet.vm.fleet import VM
from hornet.vm.snapshotting import origin_of_child, take_snapshot

VERSION = "cleaned"
# With a read-only root file system, /tmp is a file system in memory.
FILL = "d=/root; touch $d/filler 2>/dev/null || d=/tmp; dd if=/dev/zero of=$d/filler bs=64k 2>/dev/null; sync"
CLEAN = "rm -f /root/filler /tmp/filler; sync"
DIRECTORY = "/root/hornetos-damaged"
# The first round writes a block from the journal to its place. Reading other directories pushes it out of the list of
# the latest buffers (16: bh_lru of the kernel's fs/buffer.c), which keeps it in memory; the second round drops it. They
# are the trial's own: in a compressed image, /usr is not in the ext4, and few directories are outside it.
OTHERS = "/root/hornetos-others"
MAKE_OTHERS = f"for tens in 0 1 2 3; do for ones in 0 1 2 3 4 5 6 7 8 9; do mkdir -p {OTHERS}/$tens$ones; done; done"
FORGET = f"for round in 1 2; do sync; echo 3 >/proc/sys/vm/drop_caches; ls -lR /etc {OTHERS} >/dev/null 2>&1; done"


@dataclass(frozen=True)
class TroubleTrial:
    """network: the problems of the VM's network. ext4: None if the root file system is read-only or shared."""

    network: list[str]
    disk_full: TroubleFacts
    ext4: TroubleFacts | None


def try_troubles(place: TrialPlace, backup: Bundle) -> TroubleTrial:
    """Restore the backup and fill its disk, clean it and take a snapshot; restore that and damage a directory.

    Raises GuestError, SnapshotError, VMError.
    """
    vm = place.fleet.restore(backup, snapshottable=True)
    try:
        network = vm_problems(place.net, [vm.vm_id])[vm.vm_id]
        disk_full = _fill(place, vm)
        spec = place.fleet.spec
        cleaned = take_snapshot(vm, place.home, spec, version=VERSION, origin=origin_of_child(vm, spec))
    finally:
        place.fleet.remove(vm)
    vm = place.fleet.restore(cleaned)
    try:
        return TroubleTrial(network, disk_full, _damage(place, vm))
    finally:
        place.fleet.remove(vm)


def _causes(place: TrialPlace, vm: VM) -> dict[str, str]:
    """What each bad step of a diagnosis saw, by step."""
    known = find_vm(place.home, place.fleet.spec, vm.name)
    return {step.name: step.seen for step in walk(known.place, observe(known)) if step.state is State.BAD}


def _fill(place: TrialPlace, vm: VM) -> TroubleFacts:
    vm.guest.run(FILL, TIMEOUT_S)
    causes = _causes(place, vm)
    vm.guest.run(CLEAN, TIMEOUT_S)
    return TroubleFacts(causes, _causes(place, vm))


def _damage(place: TrialPlace, vm: VM) -> TroubleFacts | None:
    """Overwrite a directory on the disk below the running guest, then let the guest read it from there."""
    if vm.shares_root:
        return None
    name = f"hornetos-{secrets.token_hex(16)}"
    made = vm.guest.run(f"mkdir {DIRECTORY} && : >{DIRECTORY}/{name} && {MAKE_OTHERS} && {FORGET}", TIMEOUT_S)
    if made.exit_code:
        return None
    if not _overwrite_blocks_with(vm, name.encode()):
        raise GuestError(f"{DIRECTORY}/{name}: synced in the guest, but not found on the VM's disk")
    vm.guest.run(f"for try in 1 2 3; do {FORGET}; ls {DIRECTORY} | grep -q {name} || break; done", TIMEOUT_S)
    return TroubleFacts(_causes(place, vm))


def _overwrite_blocks_with(vm: VM, name: bytes) -> int:
    """Overwrite each block that holds this name: of the directory, and copies of it in the journal. Returns how many.

    Nothing of the foreign file system is parsed for that but the size of a block.
    """
    block_bytes = read_superblock(vm.disk).block_bytes
    with vm.disk.open("r+b") as disk, mmap.mmap(disk.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found, blocks = content.find(name), set()
        while found >= 0:
            blocks.add(found // block_bytes)
            found = content.find(name, found + 1)
        for block in blocks:
            os.pwrite(disk.fileno(), b"\xff" * block_bytes, block * block_bytes)
    return len(blocks)
