"""A kernel's bill of materials: the source, and this project's patches on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cyclonedx.model import AttachedText
from cyclonedx.model.component import Diff, Patch, PatchClassification, Pedigree

from builders.bill import Part, artifact_component, as_cyclonedx, part_component
from hornet.host.artifact_store import file_sha256

NAME = "linux"
# As Linux names it (COPYING).
LICENCE = "GPL-2.0-only"


def kernel_bill(vmlinux: Path, version: str, source: Mapping[str, str], patches: Sequence[Path], epoch_s: int) -> str:
    """The bill of a kernel. source: the identity of a Source."""
    pedigree = Pedigree(
        ancestors=[part_component(_part(source, version))],
        patches=[
            Patch(type=PatchClassification.UNOFFICIAL, diff=Diff(text=AttachedText(content=path.read_text())))
            for path in patches
        ],
    )
    component = artifact_component(
        f"hornetos-{NAME}", version, file_sha256(vmlinux), licence=LICENCE, pedigree=pedigree
    )
    return as_cyclonedx(component, [], epoch_s)


def _part(source: Mapping[str, str], version: str) -> Part:
    if "debian" in source:
        return Part("deb", source["debian"], source["version"], "debian", licences=(LICENCE,))
    digest = source.get("sha256", source.get("tree_sha256", ""))
    return Part("generic", NAME, version, licences=(LICENCE,), hashes=(("SHA-256", digest),))
