"""A running QEMU microvm.

Guest RAM is a file. A VM that can be snapshotted has its own file in memory, mapped shared. A clone maps the snapshot's
file private (copy on write). A snapshot is that file plus the device state that QEMU's migration writes with
`x-ignore-shared`, which excludes RAM (QEMU documentation: docs/devel/migration).
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
from hornet.host.file_copy import clone_file, open_private
from hornet.host.phases import timed
from hornet.host.proc import run
from hornet.network import netns
from hornet.network.tap import open_tap
from hornet.spec.lane import Lane
from hornet.vmm.api_log import ApiLog
from hornet.vmm.console import Console
from hornet.vmm.driver import MachineConfig, NetworkCard, OrderLine
from hornet.vmm.failure import FailureSignal, VMFailedError
from hornet.vmm.process import Rights, claimed, last_words, log_tail, start_vmm
from hornet.vmm.qemu.command_line import base_arguments, card_arguments, counter_arguments, memory_name
from hornet.vmm.qemu.qmp import Qmp

START_TIMEOUT_S = 20.0
MIGRATION_TIMEOUT_S = 60.0
# Migration must never be throttled: the VM is paused meanwhile.
BANDWIDTH_BYTES_PER_S = 1 << 40
DOWNTIME_LIMIT_MS = 2_000_000
KVM_DEVICE = Path("/dev/kvm")
# What QEMU says of device state that its command line does not fit.
OTHER_MACHINE = re.compile("Unknown savevm section or instance")


class QemuVM:
    """A running QEMU microvm. Made by QemuDriver, not directly."""

    prints = True

    def __init__(
        self,
        lane: Lane,
        config: MachineConfig,
        arguments: Sequence[str],
        files: Mapping[str, int],
        fds: Sequence[int] = (),
        snapshottable: BinaryIO | None = None,
    ) -> None:
        """files: descriptors of files that QEMU opens by name; fds: descriptors that it uses by number."""
        self._own_memory = snapshottable
        self.lane = lane
        self.config = config
        self._log = config.directory / "vmm.log"
        self.failure = FailureSignal(config.name)
        with timed(config.phases_ms, "vmm_start_ms"):
            qmp_end, qmp_theirs = socket.socketpair()
            serial_end, serial_theirs = socket.socketpair()
            with ExitStack() as stack:
                qmp_fd, serial_fd = (stack.enter_context(end).fileno() for end in (qmp_theirs, serial_theirs))
                disk_fd = stack.enter_context(claimed(config.disk))
                tap_fds = stack.enter_context(_open_tap(config.card))
                devices = stack.enter_context(_open_accelerator(lane))
                argv = [
                    *base_arguments(lane, config, disk_fd),
                    *counter_arguments(config),
                    *("-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"),
                    *("-chardev", f"socket,id=serial,fd={serial_fd}", "-serial", "chardev:serial"),
                    *arguments,
                    *card_arguments(config.card, tap_fds),
                ]
                rights = Rights(config.user, config.largest_file_bytes, {**files, **devices})
                pass_fds = [qmp_fd, serial_fd, disk_fd, *tap_fds, *fds]
                pass_fds += [config.counter.fd] if config.counter else []
                self._process = start_vmm(argv, rights, log=self._log, pass_fds=pass_fds)
            self.pid = self.failure.pid = self._process.pid
            self.console = Console(config.directory / "console.log", serial_end, self.failure, on_end=self._note_exit)
            self.orders: OrderLine = self.console
            self._api_log = ApiLog(config.directory)
            self._qmp = Qmp(qmp_end, self.failure, self._api_log, self._note_disk_error)
            try:
                self._qmp.connect(START_TIMEOUT_S)
                if "-incoming" not in arguments:  # its guest runs already
                    self._qmp.watch()
            except HornetError as error:
                self._give_up(error)

    def pause(self) -> None:
        self._qmp.execute("stop")

    def resume(self) -> None:
        self._qmp.watch()
        self._qmp.execute("cont")

    def snapshot(self, memory: Path, state: Path) -> None:
        """Write memory and device state of the paused VM.

        Raises VMError for a clone with private memory: its changed pages are in no file.
        """
        snapshottable = self._own_memory
        if not snapshottable:
            raise VMError(
                f"VM {self.config.name}: its memory is a private copy of a snapshot's and can't be saved",
                "restore the VM with snapshottable=True",
            )
        self._set_capabilities()
        limits = {"max-bandwidth": BANDWIDTH_BYTES_PER_S, "downtime-limit": DOWNTIME_LIMIT_MS}
        self._qmp.execute("migrate-set-parameters", limits)
        with open_private(state, "wb") as stream:
            self._qmp.send_fd(stream.fileno(), "state")
            self._qmp.execute("migrate", {"uri": "fd:state"})
            self._qmp.wait_migration(MIGRATION_TIMEOUT_S)
        # Memory that the guest freed is zero (init_on_free), so it can become holes.
        clone_file(Path(f"/proc/self/fd/{snapshottable.fileno()}"), memory)
        run(["fallocate", "--dig-holes", memory], timeout_s=MIGRATION_TIMEOUT_S)

    def load(self, state_fd: int) -> None:
        """Load the device state from an open file. The VM is paused afterwards."""
        try:
            self._set_capabilities()
            self._qmp.execute("migrate-incoming", {"uri": f"fd:{state_fd}"})
            self._qmp.wait_migration(MIGRATION_TIMEOUT_S)
        except HornetError as error:
            self._give_up(error)

    def set_balloon(self, taken_mib: int) -> None:
        self._qmp.execute("balloon", {"value": (self.config.memory_mib - taken_mib) << 20})

    def reported_load_ms(self) -> None:
        """None: QEMU does not report it."""

    def memory_files(self) -> list[Path]:
        return [Path(f"/memfd:{memory_name(self.config)}")] if self._own_memory else []

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self.failure.set("was removed")
        self._process.kill()
        self._process.wait()
        self._qmp.close()
        self._api_log.close()
        self.console.close()
        if self._own_memory:
            self._own_memory.close()

    def _note_exit(self, console: Console) -> None:
        self.failure.note_exit(self._process, lambda: last_words(console, self._log))

    def _note_disk_error(self, reason: str) -> None:
        self.failure.note_disk_error(self.config.disk, reason)

    def _set_capabilities(self) -> None:
        """Of a migration, out or in. QEMU reads commands byte by byte, so a load sends no more than it needs."""
        capabilities = [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]
        self._qmp.execute("migrate-set-capabilities", {"capabilities": capabilities})

    def _give_up(self, error: HornetError) -> None:
        self.kill()
        if isinstance(error, VMFailedError):
            raise error
        log = log_tail(self._log)
        hint = error.hint or "read the rest of the VMM's log"
        if OTHER_MACHINE.search(log):
            hint = "it was taken of a machine with other devices, as another release of this suite has: take a new one"
        raise VMError(f"{error.message}\n  VMM log: {log}", hint, timed_out=error.timed_out) from error


@contextmanager
def _open_accelerator(lane: Lane) -> Iterator[dict[str, int]]:
    """The descriptor of the device that the accelerator needs. Only root and the group kvm can open it.

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
    """The descriptor of the card's tap, if there is a card. QEMU itself has no network."""
    if card is None:
        yield []
        return
    fd = netns.enter(card.namespace, lambda: open_tap(card.tap))
    try:
        yield [fd]
    finally:
        os.close(fd)
