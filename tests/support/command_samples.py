"""`hornetos` as a process of its own, and files for it to work on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from hornet.snapshot.manifest import MANIFEST_FILE
from tests.support import bundle_samples
from tests.support import synthetic_run as synthetic

PYTHON = sys.executable


def run(argv: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def require_readable(prefix: Sequence[str]) -> None:
    """Skip the test unless a user that `prefix` (setpriv …) changes to can read the checkout and run Python."""
    test = ["test", "-r", str(SOURCE / "pyproject.toml"), "-a", "-x", os.path.realpath(PYTHON)]
    if subprocess.run([*prefix, *test], check=False).returncode:
        pytest.skip("not judged: the checkout or Python lies where only root can read")


def hornetos(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([PYTHON, "-m", "hornet_cli", *words], **environment)


@dataclass(frozen=True)
class Places:
    """home: with two sealed snapshots and a run; unsealed: three files without a manifest; image: a sound ext4."""

    workspace: Path
    unsealed: Path
    image: Path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    base = tmp_path_factory.mktemp("places")
    workspace = base / "home"
    bundles = [bundle_samples.make_bundle(workspace / "snapshots" / f"v{number}.0", seed=number) for number in (1, 2)]
    synthetic.make_run(workspace / "reports" / "latest")
    unsealed = shutil.copytree(bundles[0].directory, base / "unsealed")
    (unsealed / MANIFEST_FILE).unlink()
    return Places(workspace, unsealed, Path(shutil.copy(bundles[0].rootfs, base / "sound.ext4")))
