"""The parts of an artifact, recorded when it was complete, so that a lost or changed part is detected.

A comparison takes one lstat per file. If only the modification time differs, as after a copy, the file is hashed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Of each path: mode, size and modification time in ns (of files, else 0), hash or link target (of others, "").
Part = tuple[int, int, int, str]


def parts_of(directory: Path) -> dict[str, Part]:
    """The present state of everything below a directory, by relative path. Raises OSError."""
    stats = dict(_walk(directory))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        contents = pool.map(lambda name: _content(directory / name, stats[name]), stats)
        return {name: _part(stats[name], content) for name, content in zip(stats, contents, strict=True)}


def difference(directory: Path, noted: Mapping[str, Part], *, apart_from: Collection[str] = ()) -> str | None:
    """How a directory differs from what parts_of() recorded, as a sentence; None if it does not. Raises OSError.

    apart_from: relative paths to ignore.
    """
    found = {name: stats for name, stats in _walk(directory) if name not in apart_from}
    for name in noted.keys() - found.keys():
        return f"{name} is missing"
    for name in found.keys() - noted.keys():
        return f"{name} was added"
    for name, (mode, size_bytes, mtime_ns, content) in noted.items():
        now = _part(found[name], content)
        if now[0] != mode:
            return f"{name} has the mode {stat.filemode(now[0])}, had {stat.filemode(mode)}"
        if now[1] != size_bytes:
            return f"{name} has {now[1]} bytes, had {size_bytes}"
        if (now[2] != mtime_ns or stat.S_ISLNK(mode)) and _content(directory / name, found[name]) != content:
            return f"{name} has different content"
    return None


def _walk(directory: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Everything below a directory, by relative path."""
    with os.scandir(directory) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            yield name, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{name}/")


def _part(found: os.stat_result, content: str) -> Part:
    is_file = stat.S_ISREG(found.st_mode)
    return found.st_mode, found.st_size if is_file else 0, found.st_mtime_ns if is_file else 0, content


def _content(path: Path, found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(found.st_mode):
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
