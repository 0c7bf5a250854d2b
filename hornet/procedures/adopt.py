"""Seal a snapshot that was made elsewhere: it has the guide's three files but no manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hornet.errors import SnapshotError
from hornet.formats.ext4.verdict import Ext4Verdict, judge_ext4
from hornet.host.artifact_store import file_sha256
from hornet.host.cpu import cpu_features_sha256, cpu_model
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle, Origin
from hornet.snapshot.manifest import MANIFEST_FILE
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.guest import read_public_key
from hornet.vm.snapshotting import spec_sha256
from hornet.vmm.registry import snapshot_format, vmm_version

MIB = 1 << 20


@dataclass(frozen=True)
class Provenance:
    """The origin of a snapshot made elsewhere, as the user states it.

    vmm_version: None for the version installed on this host. kernel: the vmlinux that was booted, or None. frozen: its
    guest waits for a restore agent's command. ssh_key: the public key that its guest accepts, or None.
    """

    lane: Lane
    tier: str
    vcpus: int
    vmm_version: str | None = None
    kernel: Path | None = None
    frozen: bool = False
    ssh_key: Path | None = None


def judge_before_adopting(bundle: Bundle, workspace: Workspace) -> Ext4Verdict:
    """The verdict on the file system of three unsealed files. Raises SnapshotError if they are sealed already."""
    manifest = bundle.directory / MANIFEST_FILE
    if manifest.exists():
        raise SnapshotError(f"{manifest}: already exists", f"check it: hornetos validate {bundle.directory}")
    return judge_ext4(bundle.rootfs, workspace.run)


def adopt(bundle: Bundle, provenance: Provenance, spec: Spec, progress: Progress) -> Origin:
    """Seal the files in their current state and bind them to this CPU. Returns the origin that the manifest records.

    Raises SpecError for an unknown tier, SnapshotError for a truncated memory file, GuestError for an unreadable key.
    """
    spec.tier(provenance.tier)
    origin = Origin(
        lane=str(provenance.lane),
        vmm_version=provenance.vmm_version or vmm_version(provenance.lane),
        snapshot_format=None if provenance.vmm_version else snapshot_format(provenance.lane),
        cpu_model=cpu_model(),
        cpu_features_sha256=cpu_features_sha256(),
        memory_mib=_memory_mib(bundle.memory),
        vcpus=provenance.vcpus,
        kernel_sha256=file_sha256(provenance.kernel) if provenance.kernel else None,
        kernel_release=None,
        tier=provenance.tier,
        spec_sha256=spec_sha256(spec),
        ssh_public_blob=read_public_key(provenance.ssh_key) if provenance.ssh_key else None,
        parent=None,
        adopted=True,
        frozen=provenance.frozen,
    )
    with progress.step("adopt", f"reading every byte of {bundle.directory.name}"):
        bundle.seal(bundle.directory.name, origin)
    return origin


def _memory_mib(memory: Path) -> int:
    size_bytes = memory.stat().st_size
    if size_bytes % MIB:
        raise SnapshotError(f"{memory}: {size_bytes} bytes, expected whole MiB", "copy it again: it is truncated")
    return size_bytes // MIB
