"""Compares the files of two artifacts byte by byte, and has diffoscope say how they differ where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from hornet.host.proc import run

TOOL = "diffoscope"
TIMEOUT_S = 900
# diffoscope ends a report at this size, but never within one difference.
MAX_REPORT_CHARACTERS = 20_000
CHUNK_BYTES = 1 << 20


def differences(one: Path, other: Path, names: Iterable[str]) -> list[str]:
    """A text for each file of these names that is not the same in both directories, or is missing in one."""
    found = []
    for name in names:
        missing = [str(path) for path in (one / name, other / name) if not path.is_file()]
        if missing:
            found.append(f"{name}: missing: {', '.join(missing)}")
        elif (offset := _first_difference(one / name, other / name)) is not None:
            found.append(f"{name}: not the same from byte {offset} on\n{_explained(one / name, other / name)}")
    return found


def _first_difference(one: Path, other: Path) -> int | None:
    with one.open("rb") as first, other.open("rb") as second:
        for offset in count(step=CHUNK_BYTES):
            a, b = first.read(CHUNK_BYTES), second.read(CHUNK_BYTES)
            if a != b:
                same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
                return offset + same
            if not a:
                return None
    return None


def _explained(one: Path, other: Path) -> str:
    if shutil.which(TOOL) is None:
        return f"to see how: apt-get install {TOOL}-minimal, and repeat the test"
    words: list[str | Path] = [TOOL, "--max-text-report-size", str(MAX_REPORT_CHARACTERS), one, other]
    return run(words, timeout_s=TIMEOUT_S, ok_codes=(0, 1)).output[:MAX_REPORT_CHARACTERS]
