"""The VMs of this process: each has its own directory, disk and network namespace, and close() removes all."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from hornet.errors import HornetError, VMError
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE, clone_file, write_private
from hornet.host.in_use import hold
from hornet.host.owned import Owned, remove_abandoned
from hornet.host.phases import timed
from hornet.host.workspace import Workspace
from hornet.network import HostNet, NamespacePool, VMIds, VMNamespace
from hornet.network.ids import vms_directory
from hornet.snapshot import Bundle
from hornet.snapshot.compatibility import check_compatible, origin_of_unchecked
from hornet.snapshot.manifest import Origin
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.spec.tiers import Root
from hornet.vm.evidence import Evidence
from hornet.vm.first_sign import await_reply, await_sshd
from hornet.vm.guest import Guest, SshKey
from hornet.vm.leftovers import remove_leftovers
from hornet.vm.restore_agent import refresh
from hornet.vm.shared_root import check_image, shared_root_args
from hornet.vm.state import STATE_FILE, VMState
from hornet.vmm.driver import MachineConfig, MicroVM, NetworkCard
from hornet.vmm.instructions import InstructionCounter, count_in
from hornet.vmm.open_files import check_own_disk, check_shared_root
from hornet.vmm.registry import driver_of


@dataclass(eq=False)
class VM:
    """A VM with its directory, disk and namespace. Fleet creates it.

    phases_ms: what it took to get here, by phase, in order; each in milliseconds.
    parent: the snapshot it was restored from, or None if it was booted.
    started_by: for whom the fleet started it; the fleet's creator knows what that means.
    counter: of the guest's instructions, by phase; None unless the fleet counts them.
    shares_root: whether its root file system is the same file as that of every clone of its snapshot.
    """

    vm_id: int
    name: str
    directory: Path
    parent: Bundle | None
    phases_ms: dict[str, float] = field(default_factory=dict)
    started_by: str = ""
    counter: InstructionCounter | None = None
    shares_root: bool = False
    fleet: Fleet = field(init=False, repr=False)
    owned: Owned = field(init=False)
    namespace: VMNamespace = field(init=False)
    vmm: MicroVM = field(init=False)
    guest: Guest = field(init=False)

    @property
    def disk(self) -> Path:
        """The VM's private root file system; if it shares one, the snapshot's, which nobody may change."""
        if self.shares_root and self.parent:
            return self.parent.rootfs
        return self.directory / "rootfs.ext4"

    def mark(self, phase: str) -> None:
        """End a phase of the guest's instructions, if they are counted."""
        if self.counter:
            self.counter.mark(phase)

    def diagnostics(self) -> str:
        """The state and the last console lines of this VM, for error reports."""
        if not hasattr(self, "vmm"):
            return f"VM {self.name}: its VMM was never started"
        state = "running" if self.vmm.alive else "ended"
        return f"VM {self.name} ({self.vmm.lane}, {state}); console:\n{self.vmm.console.tail()}"


class Fleet:
    """Boots and restores VMs in one lane; a context manager that removes every VM that it created.

    On exit, also after an exception, it ends every VM. On entry it removes leftovers of killed processes.
    check_seals=False restores also what is no longer intact, against the golden rule: for experiments. evidence: where
    console and logs of a VM that does not boot or restore are kept, by default in logs/vms/ of the workspace.
    on_remove: called with each VM whose VMM was started, before it ends. started_by: gives VM.started_by. keep_failed:
    a VM that runs and that an error would remove is kept, see keep(). count_instructions: of each guest, for which the
    lane must emulate the processor (VMError).
    """

    # Every VM of this process, for reports of a failure.
    running: ClassVar[list[VM]] = []
    # Those that outlive their fleet, see keep().
    kept: ClassVar[list[VM]] = []

    def __init__(
        self,
        spec: Spec,
        workspace: Workspace,
        lane: Lane,
        host_net: HostNet,
        key: SshKey,
        *,
        check_seals: bool = True,
        evidence: Evidence | None = None,
        on_remove: Callable[[VM], None] | None = None,
        started_by: Callable[[], str] = str,
        keep_failed: bool = False,
        count_instructions: bool = False,
    ) -> None:
        self._count_instructions = count_instructions
        self.check_seals = check_seals
        own = workspace.root / "logs" / "vms" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self._evidence = evidence or Evidence(own)
        self._on_remove = on_remove
        self._started_by = started_by
        self._keep_failed = keep_failed
        self.spec = spec
        self.workspace = workspace
        self.lane = lane
        self._driver = driver_of(lane)
        self.vms: list[VM] = []
        # VMs are started on several threads; an interrupt closes the fleet meanwhile.
        self._lock = threading.Lock()
        self._closed = False
        self._host_net = host_net
        self.key = key
        self._ids = VMIds(workspace, spec.network.max_vm_id, spec.network.namespace_name)
        self._networks = NamespacePool(host_net, self._ids)

    def preallocate_networks(self, count: int) -> None:
        """Create the networks of the next `count` VMs in advance. Raises NetworkError."""
        self._networks.fill(count)

    def boot(
        self,
        kernel: Path,
        image: Path,
        *,
        root: Root = "disk",
        extra_boot_args: str = "",
        ready_signal: bool = True,
    ) -> VM:
        """Cold-boot a private copy of an image until its console reports that sshd is ready.

        root: of the image's tier; with "shared", clones of the guest's snapshot need no copies of the disk.
        extra_boot_args come after those of the machine, and win over them. ready_signal=False is for an image made
        elsewhere: its SSH port must answer, as without a serial line. Raises VMError after machine.boot_timeout_s.
        """
        boot_args = f"{self.spec.machine.boot_args} {extra_boot_args}"
        if root == "shared":
            self._driver.check_shared_root(self.spec.firecracker)
            check_image(image)
            boot_args += f" {shared_root_args(boot_args)}"
        boot_args += f" hornet.ssh_key={self.key.public_blob}"
        vm = self._new_vm(None)
        vm.shares_root = root == "shared"
        try:
            config = self._provision(vm, image)
            self._start(vm, lambda: self._driver.boot(self.lane, config, kernel=kernel, boot_args=boot_args))
            await_sshd(vm, self.spec, ready_signal=ready_signal and vm.vmm.prints)
            return vm
        except BaseException as error:
            self._keep_evidence(vm, error)
            self.remove(vm)
            raise

    def restore(
        self, bundle: Bundle, *, snapshottable: bool = False, before_resume: Callable[[VM], None] | None = None
    ) -> VM:
        """Restore a snapshot on its shared root or a private copy of its disk, until the guest answers on the network.

        A guest that was frozen for the snapshot has new random numbers, the time and its own identity by then (see
        hornet/vm/restore_agent.py). snapshottable: the clone can itself be snapshotted. before_resume is called when
        everything is in place and the guest does not run yet. Raises SnapshotError if the seal is broken, if the
        snapshot was not made for this lane and machine, or if the VMM opened another disk; VMError, GuestError.
        """
        hold(bundle.directory)
        vm = self._new_vm(bundle)
        try:
            origin = self._check_bundle(bundle, vm.phases_ms) if self.check_seals else origin_of_unchecked(bundle)
            frozen = bool(origin and origin.frozen)
            if origin and origin.root == "shared":
                self._driver.check_shared_root(self.spec.firecracker)
                vm.shares_root = True
            config = self._provision(vm, bundle.rootfs)
            self._start(
                vm,
                lambda: self._driver.restore(
                    self.lane, config, memory=bundle.memory, state=bundle.state, snapshottable=snapshottable
                ),
            )
            with timed(vm.phases_ms, "own_disk_ms"):
                if vm.shares_root:
                    check_shared_root(vm.vmm.pid, vm.disk, vm.directory)
                else:
                    check_own_disk(vm.vmm.pid, vm.disk)
            if before_resume:
                before_resume(vm)
            with timed(vm.phases_ms, "resume_ms"):
                vm.vmm.resume()
            refreshing = refresh(vm.vmm.orders) if frozen else None
            await_reply(vm, self.spec, frozen=frozen)
            if refreshing:
                with timed(vm.phases_ms, "refresh_ms"):
                    refreshing.wait(self.spec.snapshot.refresh_timeout_s)
                vm.mark("refresh")
            return vm
        except BaseException as error:
            self._keep_evidence(vm, error)
            self.remove(vm)
            raise

    def _keep_evidence(self, vm: VM, error: BaseException) -> None:
        """Only of a failure: an interrupt says nothing about the VM. What can't be kept hides no error."""
        if not isinstance(error, HornetError):
            return
        error.phases_ms = vm.phases_ms
        with suppress(OSError):
            if hasattr(vm, "owned") and (kept := self._evidence.keep(vm, vm.name)):
                error.evidence = kept
                error.add_hint(f"console and logs of VM {vm.name}: {kept}")

    def _check_bundle(self, bundle: Bundle, phases_ms: dict[str, float]) -> Origin:
        """The snapshot's origin. Raises SnapshotError if it can't be restored here."""
        with timed(phases_ms, "seal_ms"):
            origin = bundle.check_seal().origin
        with timed(phases_ms, "compatibility_ms"):
            check_compatible(bundle, origin, self.lane, self.spec.machine)
        return origin

    def remove(self, vm: VM) -> None:
        """End a VM and remove its namespace, disk and directory. Removing it twice is not an error.

        With keep_failed, a VM that an error would remove is kept instead.
        """
        error = sys.exception()
        if self._keep_failed and isinstance(error, HornetError | AssertionError):
            self.keep(vm, f"{type(error).__name__} in {self._started_by() or 'a command'}")
        if not self._take_out(vm):
            return
        if self._on_remove and hasattr(vm, "vmm"):
            with suppress(OSError):
                self._on_remove(vm)
        self._end(vm, vm.namespace.remove)

    def keep(self, vm: VM, reason: str) -> bool:
        """Let a VM that runs outlive this fleet, until release() or this process ends; returns whether it does.

        close() then leaves the VM, its network and its directory. reason: for `hornetos vm list`.
        """
        if not (hasattr(vm, "guest") and vm.vmm.alive and self._take_out(vm)):
            return False
        vm.namespace.host.keep(vm.namespace)
        self.kept.append(vm)
        self._write_state(vm, kept=reason)
        return True

    def release(self, vm: VM) -> None:
        """End a VM that was kept, and remove what belongs to it."""
        self.kept.remove(vm)
        self._end(vm, lambda: vm.namespace.host.release(vm.namespace))

    def _end(self, vm: VM, remove_network: Callable[[], None]) -> None:
        if hasattr(vm, "guest"):
            vm.guest.close()
        if hasattr(vm, "vmm"):
            vm.vmm.kill()
        remove_network()
        if hasattr(vm, "owned"):
            vm.owned.remove()
        if vm.counter:
            vm.counter.close()
        self._ids.release(vm.vm_id)

    def close(self) -> None:
        """End every VM and remove preallocated networks. No further VM can be started."""
        self._closed = True
        for vm in list(self.vms):
            self.remove(vm)
        self._networks.close()

    def __enter__(self) -> Fleet:
        remove_leftovers(self.workspace)
        self._driver.prepare()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # With on_remove, somebody else keeps the evidence.
        if isinstance(error, HornetError) and not error.evidence and not self._on_remove:
            for vm in list(self.vms):
                self._keep_evidence(vm, error)
        self.close()

    def _take_out(self, vm: VM) -> bool:
        """Take the VM off the list; returns whether it was on it. The caller that gets True removes the VM."""
        with self._lock:
            if vm not in self.vms:
                return False
            self.vms.remove(vm)
            self.running.remove(vm)
            return True

    def _new_vm(self, parent: Bundle | None) -> VM:
        """A VM with its own network, preallocated or created now."""
        self._check_open()
        phases_ms: dict[str, float] = {}
        with timed(phases_ms, "namespace_ms"):
            namespace = self._networks.take()
        name = namespace.plan.namespace
        vm = VM(namespace.vm_id, name, vms_directory(self.workspace) / name, parent, phases_ms, self._started_by())
        vm.fleet, vm.namespace = self, namespace
        with self._lock:
            self.vms.append(vm)
            self.running.append(vm)
        try:
            self._check_open()
        except VMError:
            self.remove(vm)
            raise
        return vm

    def _check_open(self) -> None:
        if self._closed:
            raise VMError("no VM can be started: the run is ending")

    def _provision(self, vm: VM, disk: Path) -> MachineConfig:
        """Create what a VM needs before its VMM starts: its directory, its disk, its network card."""
        try:
            with timed(vm.phases_ms, "directory_ms"):
                remove_abandoned(vm.directory)
                vm.owned = Owned.directory(vm.directory, PRIVATE_DIRECTORY_MODE)
        except FileExistsError:
            raise VMError(
                f"VM {vm.name}: {vm.directory} belongs to another running VM",
                "was HORNET_HOME/run changed by hand? End that VM, then try again",
            ) from None
        with timed(vm.phases_ms, "disk_ms"):
            if disk != vm.disk:
                clone_file(disk, vm.disk)
        machine, network = self.spec.machine, self.spec.network
        vm.counter = count_in(self.lane) if self._count_instructions else None
        return MachineConfig(
            name=vm.name,
            directory=vm.directory,
            disk=vm.disk,
            user=self.spec.vmm.first_user + vm.vm_id,
            memory_mib=machine.memory_mib,
            vcpus=machine.vcpus,
            firecracker=self.spec.firecracker,
            shares_root=vm.shares_root,
            card=NetworkCard(vm.namespace.name, network.tap_name, network.guest_mac),
            counter=vm.counter,
            phases_ms=vm.phases_ms,
        )

    def _start(self, vm: VM, start: Callable[[], MicroVM]) -> None:
        vm.vmm = start()
        if vm not in self.vms:
            vm.vmm.kill()
            raise VMError(f"VM {vm.name}: removed while it was started")
        vm.vmm.failure.on_failure(vm.namespace.close_sockets)
        vm.guest = Guest(vm.namespace, str(self.spec.network.guest_address.ip), self.key, vm.vmm.failure)
        with timed(vm.phases_ms, "state_file_ms"):
            self._write_state(vm)

    def _write_state(self, vm: VM, kept: str | None = None) -> None:
        state = VMState(
            pid=vm.vmm.pid,
            owner_pid=os.getpid(),
            lane=str(self.lane),
            vm_id=vm.vm_id,
            namespace=vm.namespace.name,
            private_host=self._host_net.prefix,
            ssh_key=str(self.key.private_path),
            snapshot=str(vm.parent.directory) if vm.parent else None,
            kept=kept,
        )
        write_private(vm.directory / STATE_FILE, state.to_json())
