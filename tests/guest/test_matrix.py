"""A matrix with a real cell and one that can't run: both are shown, and only the first has a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.results.outcomes import Result
from hornet.results.run import load_run
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec

pytestmark = pytest.mark.guest

TIMEOUT_S = 500


def test_cells_are_real_runs(
    spec: Spec, workspace: Workspace, bundle: Bundle, lane: Lane, tier_name: str, tmp_path: Path
) -> None:
    no_kernel = tmp_path / "vmlinux"
    no_kernel.write_text("not a kernel\n")
    words = [sys.executable, "-m", "hornet_cli", "run", f"--lane={lane}", f"--tier={tier_name}", "--quick", "--json"]
    words += ["--matrix", f"kernels={spec.kernel.source},{no_kernel}"]
    ended = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == 2, ended.stderr
    real, impossible = json.loads(ended.stdout)["cells"]
    assert (impossible["result"], impossible["run"]) == ("not judged", None)
    assert str(no_kernel) in impossible["reason"]
    assert (real["lane"], real["tier"], real["kernel"]) == (str(lane), tier_name, spec.kernel.source)
    run = load_run(workspace.reports / real["run"])
    assert not run.problems
    assert any(case.result is Result.PASSED and case.lane == str(lane) for case in run.cases)
