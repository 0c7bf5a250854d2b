"""Software bills of materials in CycloneDX JSON (https://cyclonedx.org): of an image, a kernel, and both in a snapshot.

A bill contains nothing that differs between two equal builds: its time is the spec's, its number comes from the hash of
what it describes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import fixup_id
from packageurl import PackageURL

from hornet import __version__

SUITE = "hornetos-suite"
UNKNOWN_LICENCE = "unknown"
OWN_LICENCE = "Apache-2.0"
# Of the numbers of bills: fixed, so that equal artifacts have equal ones.
NAMESPACE = uuid.UUID("d8a2a6c8-5d7c-5a55-9d26-6f0c1a3f7f11")


@dataclass(frozen=True)
class Part:
    """A package in an artifact.

    kind: its type in a package URL, such as deb; namespace, qualifiers: the URL's. source: name and version of the
    source package, of the same kind, if the package was built from one. hashes: hexadecimal, by algorithm (SHA-256).
    """

    kind: str
    name: str
    version: str
    namespace: str = ""
    qualifiers: tuple[tuple[str, str], ...] = ()
    licences: tuple[str, ...] = ()
    source: tuple[str, str] | None = None
    hashes: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> PackageURL:
        return PackageURL(self.kind, self.namespace, self.name, self.version, dict(self.qualifiers))

    @property
    def source_url(self) -> PackageURL | None:
        if self.source is None:
            return None
        qualifiers = {"arch": "source"} if self.kind == "deb" else {}
        return PackageURL(self.kind, self.namespace, *self.source, qualifiers)


def part_component(part: Part) -> Component:
    """A package as a component of a bill; its source package is its ancestor."""
    found = Component(
        type=ComponentType.LIBRARY,
        bom_ref=str(part.url),
        group=part.namespace if part.kind == "npm" else None,
        name=part.name,
        version=part.version,
        purl=part.url,
        licenses=_licences(part.licences),
        hashes=[HashType(alg=HashAlgorithm(name), content=digest) for name, digest in part.hashes],
    )
    if part.source_url:
        name, version = part.source or ("", "")
        source = Component(
            name=name, version=version, purl=part.source_url, bom_ref=f"{part.url} from {part.source_url}"
        )
        found.pedigree = Pedigree(ancestors=[source])
    return found


def file_component(path: str, sha256: str) -> Component:
    """A file that no package contains. path: absolute in the image."""
    return Component(type=ComponentType.FILE, name=path, bom_ref=f"file:{path}", hashes=[sha256_hash(sha256)])


def own_component(name: str, files: Iterable[Component]) -> Component:
    """The files that this project writes."""
    return Component(
        name=name,
        version=__version__,
        bom_ref=f"hornetos:{name}",
        licenses=_licences((OWN_LICENCE,)),
        components=list(files),
    )


def made_component(name: str, files: Iterable[Component]) -> Component:
    """Files that no package contains and this project does not write."""
    return Component(name=name, bom_ref=f"made:{name}", licenses=_licences(()), components=list(files))


def artifact_component(
    name: str, version: str, sha256: str, licence: str | None = None, pedigree: Pedigree | None = None
) -> Component:
    """What a bill describes: an image or a kernel."""
    return Component(
        type=ComponentType.OPERATING_SYSTEM,
        name=name,
        version=version,
        bom_ref=f"{name}@{sha256}",
        hashes=[sha256_hash(sha256)],
        licenses=_licences((licence,)) if licence else (),
        pedigree=pedigree,
    )


def _licences(names: Iterable[str]) -> list[DisjunctiveLicense]:
    """SPDX identifiers, and names of licences that have none."""
    known = ((name, fixup_id(name)) for name in names or (UNKNOWN_LICENCE,))
    return [DisjunctiveLicense(id=spdx) if spdx else DisjunctiveLicense(name=name) for name, spdx in known]


def sha256_hash(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def as_cyclonedx(described: Component, components: Sequence[Component], epoch_s: int) -> str:
    """The bill of an artifact, as the text of a file. epoch_s: its time."""
    tool = Component(
        type=ComponentType.APPLICATION, name="hornetos-suite", version=__version__, bom_ref="hornetos-suite"
    )
    metadata = BomMetaData(
        component=described,
        timestamp=datetime.fromtimestamp(epoch_s, UTC),
        tools=ToolRepository(components=[tool]),
    )
    number = uuid.uuid5(NAMESPACE, str(described.bom_ref.value))
    bom = Bom(metadata=metadata, components=components, serial_number=number)
    bom.register_dependency(described, components)
    return f"{JsonV1Dot6(bom).output_as_string(indent=2)}\n"


def snapshot_bill(version: str, bills: Sequence[dict[str, Any]]) -> str:
    """The bill of a snapshot: each artifact is a component, and what is in it are that one's components."""
    first = bills[0]
    parts = [found["metadata"]["component"] | {"components": found.get("components", [])} for found in bills]
    described = {"type": "operating-system", "name": version, "bom-ref": version}
    whole = {key: first[key] for key in ("$schema", "bomFormat", "specVersion", "version")}
    whole["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, version)}"
    whole["metadata"] = first["metadata"] | {"component": described}
    return json.dumps(whole | {"components": parts}, indent=2) + "\n"
