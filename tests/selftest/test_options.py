"""What the suite's options select."""

from __future__ import annotations

import subprocess
import sys

from hornet.home import CHECKOUT


def collected(expression: str) -> list[str]:
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", expression]
    listed = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True).stdout
    return [line for line in listed.splitlines() if "::" in line]


def test_reading_one_folder_alone_loses_no_test() -> None:
    everywhere = collected("(conformance)")
    assert everywhere
    assert collected("conformance") == everywhere
