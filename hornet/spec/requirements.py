"""The build guide as data: guide.toml lists every statement with an id; tests name the ids that they prove."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from hornet.errors import SpecError
from hornet.foreign_file import ForeignFileError, first_problem, read_toml
from hornet.spec.types import Table

GUIDE_PATH = Path(__file__).resolve().parents[2] / "guide.toml"
MAX_GUIDE_BYTES = 256 << 10

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Words = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Requirement:
    """One statement of the guide.

    metric: the target metric whose verdict is this statement's, or None; not_covered: why nothing proves it, or "".
    """

    id: str
    section: str
    says: str
    metric: str | None = None
    not_covered: str = ""


class _Details(Table):
    says: Words
    metric: Words | None = None
    not_covered: str = ""


_Sections = TypeAdapter(dict[str, dict[Id, Words | _Details]])


def load_requirements(path: Path = GUIDE_PATH) -> dict[str, Requirement]:
    """Every statement by its id, in the guide's order. Raises SpecError for a file that is not as guide.toml says."""
    try:
        sections = _Sections.validate_python(read_toml(path, MAX_GUIDE_BYTES))
    except ForeignFileError as error:
        raise SpecError(error.message, error.hint) from error
    except ValidationError as error:
        raise SpecError(f"{path}: {first_problem(error)}", "see the head of guide.toml") from error
    statements: dict[str, Requirement] = {}
    for section, entries in sections.items():
        for key, entry in entries.items():
            if key in statements:
                raise SpecError(
                    f"{path}: {key}: in {statements[key].section!r} and in {section!r}", "rename one of them"
                )
            details = entry if isinstance(entry, _Details) else _Details(says=entry)
            statements[key] = Requirement(key, section, details.says, details.metric, details.not_covered)
    return statements


def unknown_ids(guide: Mapping[str, Requirement], used: Iterable[str]) -> list[str]:
    """One sentence for each id that the guide does not have, with the ids that look like it."""
    problems = []
    for key in dict.fromkeys(used):
        if key not in guide:
            close = difflib.get_close_matches(key, guide, cutoff=0.4) or list(guide)[:3]
            problems.append(f"guide.toml has no statement {key!r}; the closest are: {', '.join(close)}")
    return problems
