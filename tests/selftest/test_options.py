"""What the suite's options select."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from hornet.installation import SOURCE


def collected(expression: str) -> list[str]:
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", expression]
    listed = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=True).stdout
    return [line for line in listed.splitlines() if "::" in line]


def test_reading_one_folder_alone_loses_no_test() -> None:
    everywhere = collected("(conformance)")
    assert everywhere
    assert collected("conformance") == everywhere


BENCHMARKS = """
import time
import pytest

@pytest.mark.parametrize("page_cache", ["hot", "cold"])
def test_full_seal(page_cache, benchmark):
    benchmark.pedantic(time.sleep, args=[0.02 if page_cache == "hot" else 1.2], rounds=2)

def test_cheap_seal(benchmark):
    benchmark(lambda: None)
"""


def test_tables_of_benchmarks_fit_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(BENCHMARKS)
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        SOURCE / "pyproject.toml",
        f"--rootdir={tmp_path}",
        tmp_path,
    ]
    # pytest-benchmark measures nothing in a worker of xdist, and takes its children for such.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(argv, cwd=SOURCE, env=alone, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    tables = done.stdout[done.stdout.index("benchmark 'test_") : done.stdout.index("Legend:")].splitlines()
    assert any(re.search(r"\d,\d{3}\.", line) for line in tables), "a second"
    assert max(map(len, tables)) <= 100
