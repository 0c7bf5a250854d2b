"""QEMU's microvm machine as a MicroVM: the lane for hosts without a KVM that runs Linux, and under KVM too.

Guest RAM is a file: a VM that is to be snapshotted has one of its own, in memory, shared with QEMU; a clone has the
snapshot's, private (copy on write). A snapshot is that file plus the device state that QEMU's migration writes with
`x-ignore-shared`, which leaves RAM out (QEMU documentation: docs/devel/migration).
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from hornet.errors import HornetError, VMError
from hornet.host.file_copy import clone_file, copy_into, open_private
from hornet.host.phases import timed
from hornet.host.proc import run
from hornet.network import netns
from hornet.network.tap import open_tap
from hornet.spec.lane import Lane
from hornet.vmm.console import Console
from hornet.vmm.driver import MachineConfig, NetworkCard
from hornet.vmm.failure import FailureSignal, VMFailedError
from hornet.vmm.process import Rights, claimed, last_words, log_tail, open_given, start_vmm
from hornet.vmm.qmp import Qmp

BINARY = "qemu-system-x86_64"
START_TIMEOUT_S = 20.0
MIGRATION_TIMEOUT_S = 60.0
# Of translated code, filled as a guest works. What does not fit is translated again: with 32, Claude Code takes half as
# long again; with 128, what comes after it a fifth. Density figures leave it out (hornet/vm/memory.py).
TCG_CACHE_MIB = 256
# Migration must never be throttled: the VM stands still while it runs.
BANDWIDTH_BYTES_PER_S = 1 << 40
# QEMU before 8 translates a program anew for every address it is loaded at. Without random addresses a guest starts
# programs three times as fast: 9 ms each instead of 30.
EMULATED_BOOT_ARGS = "tsc=reliable no_timer_check norandmaps"
# Without "fast" string instructions, which are emulated byte by byte: a guest that is not told of them copies and
# clears its memory by words, in half the time.
EMULATED_CPU = "max,-erms,-fsrm"
# System calls that a running VM never needs: starting programs, changing user, scheduling.
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
# Names under which it opens what it inherits; nothing is there (hornet/vmm/inherited.py).
KERNEL, MEMORY = "/hornet/vmlinux", "/hornet/vm.mem"
DISK_FD_SET = 1
KVM_DEVICE = Path("/dev/kvm")


class QemuVM:
    """A running QEMU microvm. Made by boot() or restore(), not directly."""

    def __init__(
        self,
        lane: Lane,
        config: MachineConfig,
        arguments: Sequence[str],
        files: Mapping[str, int],
        fds: Sequence[int] = (),
        snapshottable: BinaryIO | None = None,
    ) -> None:
        """files: descriptors of what it opens by name; fds: of what it finds by number."""
        self._own_memory = snapshottable
        self.lane = lane
        self.config = config
        self.phases_ms: dict[str, float] = {}
        self._log = config.directory / "vmm.log"
        self.failure = FailureSignal(config.name)
        with timed(self.phases_ms, "vmm_start_ms"):
            qmp_end, qmp_theirs = socket.socketpair()
            serial_end, serial_theirs = socket.socketpair()
            with ExitStack() as stack:
                qmp_fd, serial_fd = (stack.enter_context(end).fileno() for end in (qmp_theirs, serial_theirs))
                disk_fd = stack.enter_context(claimed(config.disk))
                tap_fds = stack.enter_context(_open_tap(config.card))
                devices = stack.enter_context(_open_accelerator(lane))
                argv = [
                    *_base_arguments(lane, config, disk_fd),
                    *("-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"),
                    *("-chardev", f"socket,id=serial,fd={serial_fd}", "-serial", "chardev:serial"),
                    *arguments,
                    *_card_arguments(config.card, tap_fds),
                ]
                rights = Rights(config.user, config.largest_file_bytes, {**files, **devices})
                pass_fds = [qmp_fd, serial_fd, disk_fd, *tap_fds, *fds]
                self._process = start_vmm(argv, rights, log=self._log, pass_fds=pass_fds)
            self.pid = self.failure.pid = self._process.pid
            self.console = Console(config.directory / "console.log", serial_end, self.failure, on_end=self._note_exit)
            self._qmp = Qmp(qmp_end, self.failure, self._note_disk_error)
            try:
                self._qmp.connect(START_TIMEOUT_S)
            except HornetError as error:
                self._give_up(error)

    def pause(self) -> None:
        self._qmp.execute("stop")

    def resume(self) -> None:
        self._qmp.execute("cont")

    def snapshot(self, memory: Path, state: Path) -> None:
        """Write memory and device state of the paused VM.

        Raises VMError for a clone with private memory: its pages live in no file.
        """
        snapshottable = self._own_memory
        if not snapshottable:
            raise VMError(
                f"VM {self.config.name}: its memory is a private clone of a snapshot's and can't be saved",
                "restore the VM with snapshottable=True",
            )
        self._prepare_migration()
        with open_private(state, "wb") as stream:
            self._qmp.send_fd(stream.fileno(), "state")
            self._qmp.execute("migrate", {"uri": "fd:state"})
            self._qmp.wait_migration(MIGRATION_TIMEOUT_S)
        # What the guest freed is zero (init_on_free) and need not take room.
        clone_file(Path(f"/proc/self/fd/{snapshottable.fileno()}"), memory)
        run(["fallocate", "--dig-holes", memory], timeout_s=MIGRATION_TIMEOUT_S)

    def load(self, state_fd: int) -> None:
        """Take the device state from an open file; the VM is paused afterwards."""
        try:
            self._prepare_migration()
            self._qmp.execute("migrate-incoming", {"uri": f"fd:{state_fd}"})
            self._qmp.wait_migration(MIGRATION_TIMEOUT_S)
        except HornetError as error:
            self._give_up(error)

    def set_balloon(self, taken_mib: int) -> None:
        self._qmp.execute("balloon", {"value": (self.config.memory_mib - taken_mib) << 20})

    def reported_load_ms(self) -> None:
        """QEMU does not say."""

    def memory_files(self) -> list[Path]:
        return [Path(f"/memfd:{_memory_name(self.config)}")] if self._own_memory else []

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self.failure.set("was removed")
        self._process.kill()
        self._process.wait()
        self._qmp.close()
        self.console.close()
        if self._own_memory:
            self._own_memory.close()

    def _note_exit(self, console: Console) -> None:
        self.failure.note_exit(self._process, lambda: last_words(console, self._log))

    def _note_disk_error(self, reason: str) -> None:
        self.failure.note_disk_error(self.config.disk, reason)

    def _prepare_migration(self) -> None:
        capabilities = [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]
        self._qmp.execute("migrate-set-capabilities", {"capabilities": capabilities})
        limits = {"max-bandwidth": BANDWIDTH_BYTES_PER_S, "downtime-limit": 2_000_000}
        self._qmp.execute("migrate-set-parameters", limits)

    def _give_up(self, error: HornetError) -> None:
        self.kill()
        if isinstance(error, VMFailedError):
            raise error
        message = f"{error.message}\n  VMM log: {log_tail(self._log)}"
        raise VMError(message, error.hint or f"read {self._log}", timed_out=error.timed_out) from error


def boot(lane: Lane, config: MachineConfig, *, kernel: Path, boot_args: str) -> QemuVM:
    """Start a VM from a kernel (vmlinux, by its PVH note). It runs when this returns.

    Raises VMError if QEMU does not start.
    """
    arguments = ["-kernel", KERNEL, "-append", f"{boot_args} {_emulated_boot_args(lane)}".strip()]
    with open_given(kernel) as stream:
        return _with_own_memory(lane, config, arguments, {KERNEL: stream.fileno()}, [], _make_memory(config))


def restore(lane: Lane, config: MachineConfig, *, memory: Path, state: Path, snapshottable: bool = False) -> QemuVM:
    """Start a VM from a snapshot; it is paused when this returns: resume() lets it run.

    memory is mapped private, so that clones share its pages and it never changes. snapshottable=True copies it
    instead, which costs time and space and allows a snapshot of the clone. Raises VMError.
    """
    arguments = ["-incoming", "defer", "-S"]
    with open_given(state) as stream, open_given(memory) as ram:
        fds = [stream.fileno()]
        if snapshottable:
            vm = _with_own_memory(lane, config, arguments, {}, fds, _make_memory(config, ram))
        else:
            # Opened for reading only: nothing that the guest or a subverted QEMU does can change it.
            arguments += _memory_arguments(config, shared=False)
            vm = QemuVM(lane, config, arguments, {MEMORY: ram.fileno()}, fds)
        with timed(vm.phases_ms, "load_ms"):
            vm.load(stream.fileno())
    return vm


def version() -> str:
    """QEMU's version, as in `7.2.22`. Raises HostError if it is not installed."""
    text = run([BINARY, "--version"], timeout_s=20).output
    found = re.search(r"version (\S+)", text)
    if not found:
        raise VMError(f"{BINARY} --version printed {text[:80]!r}, expected 'version N'")
    return found.group(1)


def _base_arguments(lane: Lane, config: MachineConfig, disk_fd: int) -> list[str]:
    accelerator = "kvm" if lane.accelerator == "kvm" else f"tcg,tb-size={TCG_CACHE_MIB}"
    return [
        *(BINARY, "-nodefaults", "-no-user-config", "-display", "none", "-name", config.name),
        *("-M", "microvm,acpi=on,pcie=off,rtc=on,usb=off,memory-backend=ram"),
        *("-accel", accelerator, "-cpu", _cpu(lane)),
        *("-smp", str(config.vcpus), "-m", f"{config.memory_mib}M"),
        *("-sandbox", SANDBOX),
        *("-add-fd", f"fd={disk_fd},set={DISK_FD_SET}"),
        *("-blockdev", f"driver=file,node-name=file0,filename=/dev/fdset/{DISK_FD_SET}"),
        *("-blockdev", "driver=raw,node-name=disk0,file=file0"),
        *("-device", "virtio-blk-device,drive=disk0"),
        *("-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng0"),
        *("-device", "virtio-balloon-device"),
    ]


@contextmanager
def _open_accelerator(lane: Lane) -> Iterator[dict[str, int]]:
    """The descriptor of the device that the accelerator needs: only root and the group kvm may open it.

    Raises VMError if it can't be opened.
    """
    if lane.accelerator != "kvm":
        yield {}
        return
    try:
        device = KVM_DEVICE.open("r+b", buffering=0)
    except OSError as error:
        raise VMError(f"{KVM_DEVICE}: {error.strerror}", "load the kernel module kvm_intel or kvm_amd") from error
    with device:
        yield {str(KVM_DEVICE): device.fileno()}


@contextmanager
def _open_tap(card: NetworkCard | None) -> Iterator[list[int]]:
    """The descriptor of the card's tap, if there is a card: QEMU itself has no network."""
    if card is None:
        yield []
        return
    fd = netns.enter(card.namespace, lambda: open_tap(card.tap))
    try:
        yield [fd]
    finally:
        os.close(fd)


def _card_arguments(card: NetworkCard | None, tap_fds: Sequence[int]) -> list[str]:
    if card is None:
        return []
    device = f"virtio-net-device,netdev=net0,mac={card.mac}"
    return ["-netdev", f"tap,id=net0,fd={tap_fds[0]}", "-device", device]


def _memory_name(config: MachineConfig) -> str:
    return f"{config.name}.mem"


def _make_memory(config: MachineConfig, parent: BinaryIO | None = None) -> BinaryIO:
    """Guest RAM of its own, filled with a snapshot's: a file in memory only, as what a guest holds is no disk's.

    Raises VMError if the snapshot's can't be read, or there is no room in memory.
    """
    memory = os.fdopen(os.memfd_create(_memory_name(config)), "r+b", buffering=0)
    os.ftruncate(memory.fileno(), config.memory_mib << 20)
    if parent:
        try:
            copy_into(parent, memory)
        except OSError as error:
            memory.close()
            why = f"{parent.name}: can't be copied into memory: {error.strerror}"
            raise VMError(why, "check the file, and free memory") from error
    return memory


def _with_own_memory(
    lane: Lane,
    config: MachineConfig,
    arguments: Sequence[str],
    files: Mapping[str, int],
    fds: Sequence[int],
    memory: BinaryIO,
) -> QemuVM:
    arguments = [*_memory_arguments(config, shared=True), *arguments]
    try:
        return QemuVM(lane, config, arguments, {**files, MEMORY: memory.fileno()}, fds, memory)
    except BaseException:
        memory.close()
        raise


def _memory_arguments(config: MachineConfig, *, shared: bool) -> list[str]:
    share = "on" if shared else "off"
    backend = f"memory-backend-file,id=ram,size={config.memory_mib}M,mem-path={MEMORY},share={share}"
    return ["-object", backend]


def lane_settings(lane: Lane) -> dict[str, str]:
    """What a guest of this lane finds on every host beside the machine of the spec: its CPU, more boot arguments."""
    return {"cpu": _cpu(lane), "boot_args": "" if lane.accelerator == "kvm" else EMULATED_BOOT_ARGS}


def _cpu(lane: Lane) -> str:
    return "host" if lane.accelerator == "kvm" else EMULATED_CPU


def _emulated_boot_args(lane: Lane) -> str:
    """An emulated guest on a busy host can't calibrate its TSC and hangs, so it is told the frequency."""
    args = lane_settings(lane)["boot_args"]
    return args and f"tsc_early_khz={_host_tsc_khz()} {args}"


def _host_tsc_khz() -> int:
    found = re.search(r"^cpu MHz\s*:\s*([\d.]+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    if not found:
        raise VMError("/proc/cpuinfo has no 'cpu MHz' line, so the emulated guest's clock can't be set")
    return int(float(found.group(1)) * 1000)
