"""The requirements: spec/requirements.toml lists each with an id; tests name the ids that they prove."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from hornet.errors import SpecError
from hornet.foreign_file import ForeignFileError, first_problem, read_toml
from hornet.installation import SPEC_DIRECTORY
from hornet.spec.files import REQUIREMENTS_FILE
from hornet.spec.types import Table

MAX_REQUIREMENTS_BYTES = 256 << 10

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Words = Annotated[str, Field(min_length=1)]
Scope = Literal["image", "suite"]


@dataclass(frozen=True)
class Requirement:
    """One requirement of the guide.

    metric: the target metric whose verdict is the requirement's, or None. scope: "image" is judged on the subject of
    each run; "suite" is a property of this suite, proved by its own tests. not_covered: why no test proves it, or "".
    """

    id: str
    section: str
    text: str
    metric: str | None = None
    not_covered: str = ""
    scope: Scope = "image"


class _Details(Table):
    text: Words
    metric: Words | None = None
    not_covered: str = ""
    scope: Scope = "image"


_Sections = TypeAdapter(dict[str, dict[Id, Words | _Details]])


def load_requirements(path: Path = SPEC_DIRECTORY / REQUIREMENTS_FILE) -> dict[str, Requirement]:
    """Every requirement by its id, in the guide's order. Raises SpecError for a wrong key or value."""
    try:
        sections = _Sections.validate_python(read_toml(path, MAX_REQUIREMENTS_BYTES))
    except ForeignFileError as error:
        raise SpecError(error.message, error.hint) from error
    except ValidationError as error:
        raise SpecError(f"{path}: {first_problem(error)}", f"see the head of {REQUIREMENTS_FILE}") from error
    requirements: dict[str, Requirement] = {}
    for section, entries in sections.items():
        for key, entry in entries.items():
            if key in requirements:
                raise SpecError(
                    f"{path}: {key}: in {requirements[key].section!r} and in {section!r}", "rename one of them"
                )
            details = entry if isinstance(entry, _Details) else _Details(text=entry)
            requirements[key] = Requirement(
                key, section, details.text, details.metric, details.not_covered, details.scope
            )
    return requirements


def unknown_ids(requirements: Mapping[str, Requirement], used: Iterable[str]) -> list[str]:
    """One sentence for each unknown requirement id, with the closest known ids."""
    problems = []
    for key in dict.fromkeys(used):
        if key not in requirements:
            close = difflib.get_close_matches(key, requirements, cutoff=0.4) or list(requirements)[:3]
            problems.append(f"spec/{REQUIREMENTS_FILE} has no {key!r}; the closest are: {', '.join(close)}")
    return problems
