"""Read the files of a specification, apply overlays, and name the file and key of each error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hornet.errors import SpecError
from hornet.foreign_file import ForeignFileError, read_toml
from hornet.installation import SPEC_DIRECTORY
from hornet.spec.renamed import renamed_keys

SHOWN_PROBLEMS = 20
MAX_SPEC_BYTES = 256 << 10

# A file, or the directory of a specification, and its tables.
Origin = tuple[Path, dict[str, Any]]


def read_spec(path: Path) -> list[Origin]:
    """A specification: one file, or a directory of files by subject. The first origin is `path` itself.

    Raises SpecError for a file that can't be read or is not TOML, and for a table that is in two files.
    """
    if not path.is_dir():
        return [(path, _read_toml(path))]
    files = sorted(path.glob("*.toml"))
    if not files:
        raise SpecError(f"{path}: a directory without *.toml files", f"copy the files of {SPEC_DIRECTORY} into it")
    origins: list[Origin] = [(file, _read_toml(file)) for file in files]
    owners: dict[str, Path] = {}
    for file, tables in origins:
        for table in tables:
            if owner := owners.get(table):
                raise SpecError(f"{table}: in {owner} and in {file}", "put the whole table into one of them")
            owners[table] = file
    return [(path, {}), *origins]


def read_overlay(path: Path) -> Origin:
    """A file in the format of a specification that contains only the changes. Raises SpecError."""
    return path, _read_toml(path)


def merge(origins: Sequence[Origin]) -> dict[str, Any]:
    """The tables of all origins, each applied over the previous ones."""
    merged: dict[str, Any] = {}
    for _, tables in origins:
        merged = merge_tables(merged, tables)
    return merged


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path, MAX_SPEC_BYTES)
    except ForeignFileError as error:
        raise SpecError(error.message, error.hint) from error


def reject_renamed(origins: Sequence[Origin]) -> None:
    """Raise SpecError for renamed keys, with their new names."""
    lines = [f"{path}: {problem}" for path, tables in origins for problem in renamed_keys(tables)]
    if lines:
        raise SpecError(_shortened(lines), "rename the keys in the files named above")


def merge_tables(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; any other value of the overlay replaces the base's value."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = merge_tables(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def explain(error: ValidationError, origins: Sequence[Origin]) -> SpecError:
    """The error that names, for each wrong key or value, the file, the value found and what is allowed."""
    lines = []
    for item in error.errors(include_url=False):
        # If the key itself is wrong, pydantic adds "[key]".
        keys = [str(part) for part in item["loc"] if part != "[key]"]
        lines.append(f"{_origin(keys, origins)}: {'.'.join(keys) or 'top level'}: {item['msg']}{_found(item)}"[:500])
    return SpecError(_shortened(lines), f"correct the named key; {SPEC_DIRECTORY} shows every key that is allowed")


def _shortened(lines: list[str]) -> str:
    more = [f"and {len(lines) - SHOWN_PROBLEMS} more"] if len(lines) > SHOWN_PROBLEMS else []
    return "\n".join([*lines[:SHOWN_PROBLEMS], *more])


def _found(item: ErrorDetails) -> str:
    """The value found. Empty for a missing key, and for a table that is invalid as a whole."""
    no_value = item["type"] == "missing" or (item["type"] == "value_error" and isinstance(item["input"], dict))
    return "" if no_value else f", found {item['input']!r}"


def _origin(keys: Sequence[str], origins: Sequence[Origin]) -> Path:
    """The file to correct: the last of those that contain most of the path to the key; else the first."""
    depths = [_depth(keys, data) for _, data in origins]
    deepest = max(depths)
    places = [path for (path, _), depth in zip(origins, depths, strict=True) if depth == deepest]
    return places[-1] if deepest else places[0]


def _depth(keys: Sequence[str], data: dict[str, Any]) -> int:
    """How many of the nested keys a file contains."""
    node: Any = data
    for depth, key in enumerate(keys):
        if not isinstance(node, dict) or key not in node:
            return depth
        node = node[key]
    return len(keys)
