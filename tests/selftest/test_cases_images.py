"""Images that were once judged wrongly: tests/cases/images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hornet.errors import Ext4Error
from hornet.formats.ext4.verdict import judge_ext4
from tests.support import ext4_matrix as matrix
from tests.support.cases import each_case, opened
from tests.support.ext4_samples import debugfs

FILE_BYTES = 100_000


@each_case("images")
def test_image_case_comes_out_right(file: Path, tmp_path: Path) -> None:
    with opened(file) as case:
        verdict, said = judged(made(case, tmp_path / "image"), tmp_path)
        assert verdict == case.pop("verdict"), said
        assert re.search(case.pop("says"), said), said


def made(case: dict[str, Any], image: Path) -> Path:
    """The image of a case: `ext4` with features, life and damage, or `bytes` at an offset of a file of zeros."""
    if ext4 := case.pop("ext4", None):
        matrix.make(ext4["features"], image)
        matrix.LIVES[ext4["life"]](image)
        if "damage" in ext4:
            debugfs(image, ext4["damage"])
        return image
    given = case.pop("bytes")
    image.write_bytes((bytes(given["at"]) + bytes.fromhex(given["hex"])).ljust(FILE_BYTES, b"\0"))
    return image


def judged(image: Path, work: Path) -> tuple[str, str]:
    """Verdict and words."""
    try:
        verdict = judge_ext4(image, work)
    except Ext4Error as error:
        return "not judged", f"{error.message} {error.hint}"
    said = [*verdict.remarks, *map(str, verdict.findings)]
    return "sound" if verdict.sound else "damaged", "; ".join(said)
