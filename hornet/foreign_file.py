"""Reads files from elsewhere: regular files only, of bounded size, strictly decoded, also as JSON and TOML.

Nothing here blocks: a FIFO, a device or a socket instead of a file is refused before it is opened, because opening a
device may already have an effect. Limits on size and depth bound the time and memory of parsers.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from hornet.errors import HornetError
from hornet.text import similar_names

# Nested tables and lists. The suite itself writes fewer than ten levels.
MAX_DEPTH = 32
MAX_INTEGER_BITS = 64
MAX_SHOWN_CHARACTERS = 200
CHUNK_BYTES = 1 << 20
# The time of tomllib grows with the number of lines times the number of parts of their keys.
MAX_TOML_LINE_CHARACTERS = 4096
_LONG_TOML_KEY = re.compile(
    rf"""[ \t]*(?:\[\[?[ \t]*)?(?:(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')[ \t]*\.[ \t]*){{{MAX_DEPTH}}}"""
)
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
}


class ForeignFileError(HornetError):
    """A file from elsewhere cannot be read, or its content is invalid."""


class MissingFileError(ForeignFileError):
    """There is no such file."""


@contextmanager
def open_foreign(path: Path, limit_bytes: int, *, follow_links: bool = True) -> Iterator[io.BufferedReader]:
    """Open a regular file of at most `limit_bytes` for reading. It may still grow: do not read more than that.

    Raises MissingFileError, and ForeignFileError for a bigger file, for anything but a regular file, and if reading
    fails.
    """
    if "\0" in str(path):
        raise ForeignFileError(f"{str(path)!r}: a path cannot contain a null byte", "name an existing file")
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow_links else os.O_NOFOLLOW)
    try:
        _check(path, path.stat(follow_symlinks=follow_links), limit_bytes)
        with os.fdopen(os.open(path, flags), "rb") as stream:
            _check(path, os.fstat(stream.fileno()), limit_bytes)
            yield stream
    except FileNotFoundError:
        raise MissingFileError(f"{path}: no such file", "name an existing file") from None
    except OSError as error:
        raise ForeignFileError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error


def _check(path: Path, found: os.stat_result, limit_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "of an unknown type")
        raise ForeignFileError(f"{path}: {kind}, expected a regular file", "copy the content into a file and name it")
    if found.st_size > limit_bytes:
        raise _too_big(path, f"{found.st_size} bytes", limit_bytes)


def _too_big(path: Path, found: str, limit_bytes: int) -> ForeignFileError:
    return ForeignFileError(f"{path}: {found}, expected at most {limit_bytes}", "is it the right file?")


def read_bytes(path: Path, limit_bytes: int, *, follow_links: bool = True) -> bytes:
    """The content of a regular file. Raises ForeignFileError, like open_foreign(), also for a file that grows."""
    with open_foreign(path, limit_bytes, follow_links=follow_links) as stream:
        data = bytearray()
        while chunk := stream.read(CHUNK_BYTES):
            data += chunk
            # Some files have a size of 0 and content (procfs), and some grow.
            if len(data) > limit_bytes:
                raise _too_big(path, "more bytes than its size", limit_bytes)
    return bytes(data)


def read_text(path: Path, limit_bytes: int, *, follow_links: bool = True) -> str:
    """The text of a regular file in UTF-8. Raises ForeignFileError."""
    data = read_bytes(path, limit_bytes, follow_links=follow_links)
    with _naming(path):
        return decode(data)


def read_json(path: Path, limit_bytes: int, *, follow_links: bool = True) -> Any:
    """The parsed content of a JSON file. Raises ForeignFileError."""
    data = read_bytes(path, limit_bytes, follow_links=follow_links)
    with _naming(path):
        return parse_json(data)


def read_toml(path: Path, limit_bytes: int, *, follow_links: bool = True) -> dict[str, Any]:
    """The parsed content of a TOML file. Raises ForeignFileError."""
    data = read_bytes(path, limit_bytes, follow_links=follow_links)
    with _naming(path):
        return parse_toml(data)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except ForeignFileError as error:
        raise ForeignFileError(f"{path}: {error.message}", error.hint) from error


def decode(data: bytes) -> str:
    """Decode UTF-8. Raises ForeignFileError with the offset of the first invalid byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ForeignFileError(
            f"not UTF-8: byte {data[error.start]:#04x} at offset {error.start}", "save it as UTF-8"
        ) from None


def parse_json(data: bytes) -> Any:
    """Parse JSON strictly.

    Raises ForeignFileError for invalid JSON, and for duplicate names, NaN and infinities, numbers of more than 64 bits,
    lone surrogates, and more than MAX_DEPTH levels, on which parsers disagree.
    """
    text = decode(data)
    try:
        value = json.loads(text, object_pairs_hook=_table, parse_constant=_refuse_constant)
        _check_values(value, finite=True)
    except (ValueError, RecursionError) as error:
        raise ForeignFileError(f"not valid JSON: {_sentence(error)}", "correct it, or create it again") from None
    return value


def parse_toml(data: bytes) -> dict[str, Any]:
    """Parse TOML. Raises ForeignFileError if it is invalid, too deep, or has too long lines or numbers."""
    text = decode(data)
    try:
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > MAX_TOML_LINE_CHARACTERS:
                raise ValueError(f"line {number}: {len(line)} characters, expected at most {MAX_TOML_LINE_CHARACTERS}")
            if _LONG_TOML_KEY.match(line):
                raise ValueError(f"line {number}: {_TOO_DEEP}")
        value = tomllib.loads(text)
        _check_values(value, finite=False)
    except (ValueError, RecursionError) as error:
        raise ForeignFileError(f"not valid TOML: {_sentence(error)}", "correct the line named above") from None
    return value


def first_problem(error: ValidationError, keys: Iterable[str] = ()) -> str:
    """The first problem that a model found in parsed data: the place, the expected value, the value found.

    keys: those that the model knows. An unknown key comes first, with the one that was probably meant: it is often the
    reason why another is missing.
    """
    errors = error.errors(include_url=False, include_context=False)
    first = next((item for item in errors if item["type"] == "extra_forbidden"), errors[0])
    where = ".".join(map(str, first["loc"]))[:MAX_SHOWN_CHARACTERS]
    found = "" if first["type"] == "missing" else f", found {first['input']!r}"[:MAX_SHOWN_CHARACTERS]
    meant = similar_names(str(first["loc"][-1]), keys) if first["type"] == "extra_forbidden" else ""
    return f"{where + ': ' if where else ''}{first['msg']}{found}{meant}"


def _sentence(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    # Python's own advice on long numbers does not help users.
    return str(error).partition("; use sys.set_int_max_str_digits")[0]


_TOO_DEEP = f"more than {MAX_DEPTH} levels of tables and lists"


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"the name {name[:60]!r} occurs twice in one object")
        table[name] = value
    return table


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _check_values(value: Any, *, finite: bool) -> None:
    """Raise ValueError for values that fail later, when they are printed, summed, encoded or walked recursively."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        for item in level:
            if isinstance(item, str):
                item.encode()
            elif isinstance(item, int) and item.bit_length() > MAX_INTEGER_BITS:
                raise ValueError(f"a number of {item.bit_length()} bits, expected at most {MAX_INTEGER_BITS}")
            elif finite and isinstance(item, float) and not math.isfinite(item):
                raise ValueError("a number out of range")
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _inside(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return [*item, *item.values()]
    return item if isinstance(item, list) else ()
