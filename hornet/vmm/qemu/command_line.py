"""The command line of a QEMU microvm."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hornet.host.conditions import tsc_khz
from hornet.host.tools import HostTool
from hornet.spec.lane import Lane
from hornet.vmm import instructions
from hornet.vmm.driver import MachineConfig, NetworkCard

PROGRAM_VARIABLE = "HORNET_QEMU"
# The cache of translated code, which fills as a guest works. QEMU translates code again that does not fit: with 32 MiB,
# Claude Code takes 50 % longer; with 128 MiB, programs after it take 20 % longer. Density figures exclude the cache
# (hornet/vm/memory.py).
TCG_CACHE_MIB = 256
# QEMU before version 8 translates a program again for every address that it is loaded at. Without address
# randomization, a guest starts a program in 9 ms instead of 30 ms.
EMULATED_BOOT_ARGS = "tsc=reliable no_timer_check norandmaps"
# The emulated CPU hides ERMS and FSRM. QEMU emulates `rep movsb` byte by byte; without these flags a guest copies and
# clears its memory by words, in half the time.
EMULATED_CPU = "max,-erms,-fsrm"
# The programmable interval timer, which no guest uses: it knows the frequency of its TSC (emulated_boot_args) and so
# finds that of its APIC timer. QEMU emulates the PIT from its reset on, with 73 wakes a second of an idle VM's process.
EMULATED_PIT = "off"
# System calls that a running VM never needs: starting programs, changing user, scheduling.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
# Names under which QEMU opens inherited descriptors. No such files exist (hornet/vmm/inherited.py).
KERNEL, MEMORY = "/hornet/vmlinux", "/hornet/vm.mem"
DISK_FD_SET = 1


def program() -> HostTool:
    """The program, by its name or its absolute path."""
    return HostTool(os.environ.get(PROGRAM_VARIABLE) or "qemu-system-x86_64", "qemu-system-x86")


def base_arguments(lane: Lane, config: MachineConfig, disk_fd: int) -> list[str]:
    """The program and the machine. disk_fd: the open disk, which QEMU inherits."""
    accelerator, timer = ("kvm", "on") if lane.accelerator == "kvm" else (f"tcg,tb-size={TCG_CACHE_MIB}", EMULATED_PIT)
    return [
        *(program().name, "-nodefaults", "-no-user-config", "-display", "none", "-name", config.name),
        *("-M", f"microvm,acpi=on,pcie=off,rtc=on,usb=off,pit={timer},memory-backend=ram"),
        *("-accel", accelerator, "-cpu", _cpu(lane)),
        *("-smp", str(config.vcpus), "-m", f"{config.memory_mib}M"),
        *("-sandbox", SANDBOX),
        *("-add-fd", f"fd={disk_fd},set={DISK_FD_SET}"),
        # A disk is private to its VM. By default, QEMU drops it from the page cache when it loads a snapshot: 60 ms for
        # a fresh copy, whose pages are dirty, and the guest then reads it from the host's disk again.
        *("-blockdev", f"driver=file,node-name=file0,filename=/dev/fdset/{DISK_FD_SET},drop-cache=off"),
        *("-blockdev", "driver=raw,node-name=disk0,file=file0"),
        *("-device", "virtio-blk-device,drive=disk0"),
        *("-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng0"),
        *("-device", "virtio-balloon-device"),
    ]


def card_arguments(card: NetworkCard | None, tap_fds: Sequence[int]) -> list[str]:
    """The network card on the first of tap_fds. Empty for a VM without a card."""
    if card is None:
        return []
    device = f"virtio-net-device,netdev=net0,mac={card.mac}"
    return ["-netdev", f"tap,id=net0,fd={tap_fds[0]}", "-device", device]


def counter_arguments(config: MachineConfig) -> list[str]:
    """The plugin that counts the guest's instructions. Empty for a VM whose instructions are not counted."""
    return ["-plugin", f"{instructions.LIBRARY},counter={config.counter.fd}"] if config.counter else []


def memory_arguments(config: MachineConfig, *, shared: bool) -> list[str]:
    """Guest RAM as the file MEMORY. shared: the guest writes to the file; otherwise to private copies of its pages."""
    share = "on" if shared else "off"
    backend = f"memory-backend-file,id=ram,size={config.memory_mib}M,mem-path={MEMORY},share={share}"
    return ["-object", backend]


def memory_name(config: MachineConfig) -> str:
    """The name of the memory file of a VM that has its own."""
    return f"{config.name}.mem"


def lane_settings(lane: Lane) -> dict[str, str]:
    """What a guest of this lane sees on every host, besides the machine of the spec: its CPU, extra boot arguments."""
    return {"cpu": _cpu(lane), "boot_args": "" if lane.accelerator == "kvm" else EMULATED_BOOT_ARGS}


def _cpu(lane: Lane) -> str:
    return "host" if lane.accelerator == "kvm" else EMULATED_CPU


def emulated_boot_args(lane: Lane) -> str:
    """Extra boot arguments. On a busy host, an emulated guest can't calibrate its TSC and hangs, so they set it."""
    args = lane_settings(lane)["boot_args"]
    return args and f"tsc_early_khz={tsc_khz()} {args}"
