"""Reads files of JSON lines that other processes wrote: a damaged line is named and skipped."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from hornet.foreign_file import ForeignFileError, first_problem

SHOWN_PROBLEMS = 20

T = TypeVar("T")


def parse_lines(data: bytes, parse: Callable[[bytes], T | None], max_line_bytes: int) -> tuple[list[T], list[str]]:
    """What `parse` makes of each line that is not empty, and one sentence for each of the first damaged lines.

    parse: returns None for a line that is not wanted, and raises ForeignFileError or ValidationError for a damaged one.
    """
    found: list[T] = []
    problems: list[str] = []
    for number, line in enumerate(io.BytesIO(data), start=1):
        if not line.strip():
            continue
        reason, item = _parse(line, parse, max_line_bytes)
        if reason and len(problems) == SHOWN_PROBLEMS:
            problems.append(f"line {number}: the {SHOWN_PROBLEMS + 1}th damaged line: the rest is not read")
            break
        problems += [f"line {number}: {reason}"] if reason else []
        found += [item] if item is not None else []
    return found, problems


def _parse(line: bytes, parse: Callable[[bytes], T | None], max_line_bytes: int) -> tuple[str, T | None]:
    """Why a line is damaged, else empty; and what it holds."""
    if len(line) > max_line_bytes:
        return f"{len(line)} bytes, expected at most {max_line_bytes}", None
    try:
        return "", parse(line)
    except ForeignFileError as error:
        return error.message, None
    except ValidationError as error:
        return first_problem(error), None
