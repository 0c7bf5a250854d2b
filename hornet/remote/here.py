"""What this host would judge, and by what: compared over the hosts of a fleet before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from hornet import __version__
from hornet.foreign_file import ForeignFileError, first_problem, parse_json
from hornet.host.artifact_store import file_sha256
from hornet.host.owned import is_owned
from hornet.host.revision import source_revision
from hornet.results.run_info import spec_sha256
from hornet.snapshot.manifest import MANIFEST_FILE
from hornet.spec.model import Spec
from hornet.spec.types import Line, Table

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Here(Table):
    """suite: the version; commit: of the checkout, None outside one. spec_sha256: of the specification with overlays.
    artifacts: SHA-256 of what the plan names, by option. running: the runs, of those asked for, that still run."""

    suite: Line
    commit: Line | None
    spec_sha256: Sha256
    artifacts: Annotated[dict[str, Sha256], Field(max_length=3)] = {}
    running: Annotated[list[Line], Field(max_length=100)] = []


def describe(spec: Spec, artifacts: Mapping[str, Path], runs: Sequence[Path]) -> Here:
    """What this host has. artifacts: files or snapshots by option. Raises ForeignFileError for one that is missing."""
    return Here(
        suite=__version__,
        commit=source_revision(),
        spec_sha256=spec_sha256(spec),
        artifacts={name: file_sha256(_hashed(path)) for name, path in artifacts.items()},
        running=[run.name for run in runs if run.is_dir() and is_owned(run)],
    )


def _hashed(path: Path) -> Path:
    """Of a snapshot its manifest, which has the hashes of its files."""
    return path / MANIFEST_FILE if path.is_dir() else path


def parse_here(text: str) -> Here:
    """What a host said. Raises ForeignFileError if it is not of this form."""
    try:
        return Here.model_validate(parse_json(text.encode()))
    except ValidationError as error:
        raise ForeignFileError(
            f"its description: {first_problem(error)}", "use the same suite on every host"
        ) from error


def differences(own: Here, other: Here) -> list[str]:
    """Why a host cannot do the same run as this one: one sentence for each reason."""
    problems = []
    if (other.suite, other.commit) != (own.suite, own.commit):
        problems.append(f"suite {_version(other)}, expected {_version(own)}, the one here")
    if other.spec_sha256 != own.spec_sha256:
        problems.append("its specification differs from the one here: --spec, --overlay, or an edited spec/")
    return problems


def _version(here: Here) -> str:
    return f"{here.suite} ({here.commit or 'no commit'})"


def disagreements(hosts: Mapping[str, Here]) -> list[str]:
    """One sentence for each artifact of which hosts have different bytes: their results could not be compared."""
    problems = []
    for name in dict.fromkeys(name for here in hosts.values() for name in here.artifacts):
        by_hash: dict[str, list[str]] = {}
        for host, here in hosts.items():
            by_hash.setdefault(here.artifacts.get(name, "none"), []).append(host)
        if len(by_hash) > 1:
            shown = "; ".join(f"{sha256[:12]} on {', '.join(names)}" for sha256, names in by_hash.items())
            problems.append(f"--{name}: hosts have different ones: {shown}")
    return problems
