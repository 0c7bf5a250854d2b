"""The requirements: spec/requirements/*.toml lists each with an id; tests name the ids that they prove."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from hornet.errors import SpecError
from hornet.foreign_file import ForeignFileError, first_problem, read_toml
from hornet.installation import SPEC_DIRECTORY
from hornet.spec.model import Spec
from hornet.spec.types import Table
from hornet.text import similar_names

REQUIREMENTS_DIRECTORY = "requirements"
MAX_REQUIREMENTS_BYTES = 256 << 10

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Words = Annotated[str, Field(min_length=1)]
Level = Literal["must", "should"]
Scope = Literal["image", "suite"]
# What a verdict takes: files alone, a VM in any lane, a KVM lane.
Needs = Literal["no-vm", "vm", "kvm"]


class Details(Table):
    """One requirement as its file states it.

    section: of the guide, or what else it belongs to. text: what is judged; `{network.guest_address}` is a value of the
    specification. source: where it comes from, if not the guide's section. rationale: why it exists. remedy: what to do
    when it fails. metric: the target metric whose verdict is the requirement's. tiers: those it applies to, if not all.
    scope: "image" is judged on the subject of each run; "suite" is a property of this suite, proved by its own tests.
    not_covered: why no test proves it.
    """

    section: Words
    text: Words
    level: Level
    needs: Needs | None = None
    rationale: Words
    remedy: Words
    source: str = ""
    metric: Words | None = None
    tiers: list[Words] = []
    scope: Scope = "image"
    not_covered: str = ""


class Requirement(Details):
    """A requirement with its id."""

    id: Id

    def applies_to(self, tier: str | None) -> bool:
        """Whether an image of this tier has to meet it; of an unknown tier, any."""
        return not self.tiers or tier is None or tier in self.tiers

    def text_for(self, spec: Spec) -> str:
        """The text with the values of a specification; as it stands if that has no such value."""
        try:
            return string.Formatter().vformat(self.text, (), _tables(spec))
        except (KeyError, AttributeError, ValueError):
            return self.text


def _tables(spec: Spec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in Spec.model_fields}


_Requirements = TypeAdapter(dict[Id, Details])


def load_requirements(directory: Path = SPEC_DIRECTORY / REQUIREMENTS_DIRECTORY) -> dict[str, Requirement]:
    """Every requirement by its id, in the order of the files. Raises SpecError for a wrong key or value."""
    requirements: dict[str, Requirement] = {}
    for path in sorted(directory.glob("*.toml")):
        for key, details in read_requirements(path).items():
            if key in requirements:
                raise SpecError(f"{path}: {key}: this id is already in another file", "rename one of them")
            requirements[key] = Requirement(id=key, **details.model_dump())
    if not requirements:
        raise SpecError(f"{directory}: no requirements", f"copy the files of {SPEC_DIRECTORY} into it")
    return requirements


def read_requirements(path: Path) -> dict[str, Details]:
    """The requirements of one file by id. Raises SpecError for a wrong key or value."""
    try:
        return _Requirements.validate_python(read_toml(path, MAX_REQUIREMENTS_BYTES))
    except ForeignFileError as error:
        raise SpecError(error.message, error.hint) from error
    except ValidationError as error:
        raise SpecError(f"{path}: {first_problem(error)}", "docs/requirements.md lists the keys") from error


def unknown_ids(requirements: Mapping[str, Requirement], used: Iterable[str]) -> list[str]:
    """One sentence for each unknown requirement id, with the closest known ids."""
    return [
        f"spec/{REQUIREMENTS_DIRECTORY} has no {key!r}{similar_names(key, requirements)}"
        for key in dict.fromkeys(used)
        if key not in requirements
    ]
