"""Takes a snapshot of a running VM, in the correct order (guide: Correct Workflow, SOP 1)."""

from __future__ import annotations

import hashlib
import platform
import secrets
from collections.abc import Callable
from typing import Any

from hornet.errors import SnapshotError
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.cpu import cpu_features_sha256, cpu_model, microcode
from hornet.host.durable import write_file
from hornet.host.file_copy import PRIVATE_MODE, clone_file
from hornet.host.phases import timed
from hornet.host.workspace import Workspace
from hornet.snapshot.bundle import Bundle
from hornet.snapshot.manifest import Origin
from hornet.snapshot.publish import publishing
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM
from hornet.vm.restore_agent import AGENT_FILE, freeze
from hornet.vmm.registry import driver_of, snapshot_format, vmm_version

COMMAND_TIMEOUT_S = 60
# The phases in which the VM is paused: memory, state and disk are copied. Its disk is judged and sealed later.
PAUSE_PHASES = ("pause_ms", "save_ms", "disk_ms")
# Waits (two seconds at most) until this connection to sshd is gone, so that no clone wakes up with a dead one, then
# writes everything out. Freezing empties the journal, so that the disk is right even without a replay; the thaw
# follows at once: a file system frozen in the snapshot would have to be thawed in every clone before its first write,
# and memory and disk agree without it, both being taken while the VM is paused.
FLUSH = """
setsid sh -c '
tries=0
while grep -q ":0016 [0-9A-F]*:[0-9A-F]* 01 " /proc/net/tcp && [ $tries -lt 100 ]; do
    sleep 0.02; tries=$((tries + 1))
done
sync
if command -v fsfreeze >/dev/null; then fsfreeze --freeze /; fsfreeze --unfreeze /; fi
answers=/run/hornetos/answers
test -p $answers || answers=/dev/console
echo "hornetos: flushed TOKEN" >$answers
' </dev/null >/dev/null 2>&1 &
"""


def take_snapshot(
    vm: VM,
    workspace: Workspace,
    spec: Spec,
    *,
    version: str,
    origin: Origin,
    bill: str | None = None,
    before_publishing: Callable[[Bundle], None] | None = None,
    phases_ms: dict[str, float] | None = None,
) -> Bundle:
    """Snapshot a VM as HORNET_HOME/snapshots/<version>; the VM is paused afterwards.

    The guest writes out what it holds; its serial line falls silent; the VM is paused; memory, state and disk are
    copied while it is paused; the disk is judged; the seal is put on; `before_publishing` may look at the result and
    refuse it by raising; one rename publishes. bill: the bill of materials, as the text of a file. phases_ms: gets how
    long each step took; the VM is paused during those of PAUSE_PHASES.

    Raises SnapshotError, VMError, GuestError; then nothing is published.
    """
    phases_ms = {} if phases_ms is None else phases_ms
    with timed(phases_ms, "flush_ms"):
        flush(vm)
    with timed(phases_ms, "freeze_ms"):
        if origin.frozen:
            freeze(vm.vmm.orders).wait(spec.snapshot.freeze_timeout_s)
        # A serial port that sends while it is snapshotted may be stuck afterwards (docs/firecracker.md).
        vm.vmm.console.wait_quiet(spec.snapshot.serial_quiet_s, spec.snapshot.freeze_timeout_s)
    target = workspace.snapshots / version
    with publishing(target, spec.snapshot) as bundle:
        with timed(phases_ms, "pause_ms"):
            vm.vmm.pause()
        with timed(phases_ms, "save_ms"):
            vm.vmm.snapshot(bundle.memory, bundle.state)
        with timed(phases_ms, "disk_ms"):
            clone_file(vm.disk, bundle.rootfs)
        if vm.shares_root:
            # Now, because the snapshot's files must not change once they are sealed.
            with timed(phases_ms, "share_root_ms"):
                driver_of(vm.vmm.lane).share_root(bundle.rootfs, spec.firecracker)
        with timed(phases_ms, "disk_check_ms"):
            _check_disk(bundle, workspace)
        with timed(phases_ms, "seal_ms"):
            if bill:
                write_file(bundle.bill, bill, PRIVATE_MODE)
            bundle.seal(version, origin)
        if before_publishing:
            before_publishing(bundle)
    return Bundle(target, spec.snapshot)


def flush(vm: VM) -> None:
    """Make the guest write everything to its disk and close its SSH session. Raises GuestError, VMError."""
    token = secrets.token_hex(8)
    if not vm.vmm.prints:
        # The agent ignores an empty line. Sending one opens the connection that brings the answer.
        vm.vmm.orders.send("\n")
    vm.guest.run(FLUSH.replace("TOKEN", token), COMMAND_TIMEOUT_S)
    vm.guest.close()
    vm.vmm.orders.wait_for(rf"hornetos: flushed {token}", COMMAND_TIMEOUT_S)


def _check_disk(bundle: Bundle, workspace: Workspace) -> None:
    findings = judge_ext4(bundle.rootfs, workspace.run).findings
    if findings:
        raise SnapshotError(
            "the VM's disk is damaged:\n  " + "\n  ".join(map(str, findings)), "restore an older version"
        )


def origin_of(vm: VM, spec: Spec, *, kernel_sha256: str, tier: str, ssh_public_blob: str) -> Origin:
    """The origin of a snapshot of this booted VM."""
    lane, config = vm.vmm.lane, vm.vmm.config
    settings = driver_of(lane).lane_settings(lane, spec.firecracker)
    return Origin(
        lane=str(lane),
        **_host(lane),
        memory_mib=config.memory_mib,
        memory_hotplug_mib=int(settings.get("memory_hotplug_mib", 0)),
        vcpus=config.vcpus,
        kernel_sha256=kernel_sha256,
        kernel_release=vm.guest.run("uname -r", COMMAND_TIMEOUT_S).stdout.strip(),
        tier=tier,
        spec_sha256=spec_sha256(spec),
        ssh_public_blob=ssh_public_blob,
        parent=None,
        adopted=False,
        frozen=vm.guest.run(f"test -e {AGENT_FILE}", COMMAND_TIMEOUT_S).exit_code == 0,
        root="shared" if vm.shares_root else "disk",
    )


def _host(lane: Lane) -> dict[str, Any]:
    """Where a snapshot is taken, for its origin."""
    return {
        "vmm_version": vmm_version(lane),
        "snapshot_format": snapshot_format(lane),
        "cpu_model": cpu_model(),
        "cpu_features_sha256": cpu_features_sha256(),
        "host_kernel": platform.release(),
        "microcode": microcode(),
    }


def origin_of_child(vm: VM, spec: Spec) -> Origin:
    """The origin of a snapshot of a restored VM: its parent's machine, kernel, tier and key."""
    if vm.parent is None:
        raise SnapshotError(f"VM {vm.name} was booted, not restored: it has no parent")
    sealed = vm.parent.manifest()
    here = {
        **_host(vm.vmm.lane),
        "spec_sha256": spec_sha256(spec),
        "parent": sealed.self_sha256,
        "adopted": False,
    }
    return sealed.origin.model_copy(update=here)


def spec_sha256(spec: Spec) -> str:
    """The hash of the specification for the manifest."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
