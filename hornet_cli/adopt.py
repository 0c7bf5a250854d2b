"""`hornetos adopt DIR`: seal a snapshot that was made elsewhere: the guide's own three files, without a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet.errors import SnapshotError
from hornet.spec.lane import lane_named
from hornet_cli.context import settings
from hornet_cli.ext4 import as_text

MIB = 1 << 20


def adopt(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(help="The directory with the three files.")],
    lane: Annotated[str, typer.Option(help="What took the snapshot: firecracker/kvm, qemu/kvm or qemu/tcg.")],
    tier: Annotated[str, typer.Option(help="The tier to judge it by: micro, standard or dev.")],
    vmm_version: Annotated[
        str | None, typer.Option(help="The VMM's version that took it (default: that of this host's).")
    ] = None,
    vcpus: Annotated[int, typer.Option(min=1, help="How many virtual CPUs its VM has.")] = 1,
    kernel: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The vmlinux that was booted, to bind it too.")
    ] = None,
    frozen: Annotated[
        bool,
        typer.Option(
            "--frozen", help="Its guest waits to be told to go on: made by this suite, its manifest lost since."
        ),
    ] = False,
    ssh_key: Annotated[Path | None, typer.Option(help="The public key that its guest accepts.")] = None,
) -> None:
    """Judge the file system, then bind the files as they are now to each other, this CPU and this VMM.

    Run it on the machine on which the snapshot was taken, before anybody else touches it: what happened before can't
    be known. Its guest is reached with the key in HORNET_HOME/keys. Exit code 1 if the file system is damaged.
    """
    from hornet.formats.ext4.verdict import judge_ext4
    from hornet.host.artifact_store import file_sha256
    from hornet.host.cpu import cpu_features_sha256, cpu_model
    from hornet.snapshot import Origin, open_bundle
    from hornet.snapshot.manifest import MANIFEST_FILE
    from hornet.vm.guest import read_public_key
    from hornet.vm.snapshotting import spec_sha256
    from hornet.vmm import vmm_version as installed_version

    mine = settings(ctx)
    mine.spec.tier(tier)
    bundle = open_bundle(directory, mine.spec.snapshot)
    if (bundle.directory / MANIFEST_FILE).exists():
        raise SnapshotError(
            f"{bundle.directory / MANIFEST_FILE}: there already", f"check it: hornetos validate {directory}"
        )
    verdict = judge_ext4(bundle.rootfs, mine.workspace.run)
    print(as_text(verdict))
    if not verdict.sound:
        raise typer.Exit(1)
    origin = Origin(
        lane=str(lane_named(lane)),
        vmm_version=vmm_version or installed_version(lane_named(lane)),
        cpu_model=cpu_model(),
        cpu_features_sha256=cpu_features_sha256(),
        memory_mib=_memory_mib(bundle.memory),
        vcpus=vcpus,
        kernel_sha256=file_sha256(kernel) if kernel else None,
        kernel_release=None,
        tier=tier,
        spec_sha256=spec_sha256(mine.spec),
        ssh_public_blob=read_public_key(ssh_key) if ssh_key else None,
        parent=None,
        adopted=True,
        frozen=frozen,
    )
    with mine.progress.step("adopt", f"reading every byte of {bundle.directory.name}"):
        bundle.seal(bundle.directory.name, origin)
    for name, value in origin.model_dump().items():
        print(f"  {name}: {'not known' if value is None else value}")
    if bundle.open_to_others:
        print(f"other users may read what its guest had in memory: chmod -R go= {directory}")
    print(f"sealed as it is now; whether it was changed before, nobody can tell. Next: hornetos validate {directory}")


def _memory_mib(memory: Path) -> int:
    size_bytes = memory.stat().st_size
    if size_bytes % MIB:
        raise SnapshotError(f"{memory}: {size_bytes} bytes, not whole MiB", "copy it again: it was cut off")
    return size_bytes // MIB
