"""An image that no VM can boot: its files are judged, the rest is named as not judged, and no VM is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornet.installation import SOURCE
from hornet.results.gate import Answer, Demands, decide
from hornet.results.outcomes import Result
from hornet.results.run import load_run
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet_cli.app import app
from tests.support.archive_samples import oci
from tests.support.image_samples import make_good_root


def test_what_needs_a_vm_is_named_as_not_judged(tmp_path: Path) -> None:
    root, home, run = tmp_path / "root", tmp_path / "home", tmp_path / "run"
    make_good_root(root)
    tar = subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True, timeout=60).stdout
    layout = oci(tmp_path / "oci", tar)
    words = [sys.executable, "-m", "pytest", "-q", "-m", "conformance", f"--image=oci:{layout}", f"--run-dir={run}"]
    ended = subprocess.run(
        [*words, "-o", f"cache_dir={tmp_path}/cache"],
        env={**os.environ, "HORNET_HOME": str(home)},
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    decision = decide(load_spec(), load_run(run), Demands(load_requirements()))
    assert decision.answer is Answer.NOT_JUDGED
    rows = {row.id: row for row in decision.rows}
    assert rows["removed-perl"].result is Result.PASSED
    assert rows["image-crossable"].result is Result.PASSED
    for name, reason in (("tool-git", "judged by its files alone"), ("tier-size", "judged by its files alone")):
        assert rows[name].result is Result.NOT_JUDGED, name
        assert reason in rows[name].reason
        assert any(sentence.startswith(f"{name}: ") for sentence in decision.unjudged)
    assert not (home / "build").exists(), "nothing was built for it"


@pytest.mark.parametrize(
    ("value", "said"),
    [("oci:/nowhere", "no such file"), ("dir:/nowhere", "no such file"), ("/usr", "write dir:/usr, or oci:/usr")],
)
def test_wrong_image_of_run_is_one_sentence(value: str, said: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["run", f"--image={value}"], env={"HORNET_HOME": str(tmp_path)})
    assert ended.exit_code == 2
    assert said in " ".join(ended.output.replace("│", " ").split())
