"""The job files for schedulers have the syntax of their schedulers, and commands and options that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest
from typer.testing import CliRunner

from hornet.installation import SOURCE
from hornet_cli.app import app

JOBS = SOURCE / "docs" / "fleets"
# sbatch(1): the options that the job may use.
DIRECTIVE = re.compile(r"#SBATCH --(job-name|array|nodes|ntasks|exclusive|time|signal|output)(=(\S+))?")
VALUES = {
    "array": r"\d+-\d+",
    "nodes": r"\d+",
    "ntasks": r"\d+",
    "time": r"\d\d:\d\d:\d\d",
    "signal": r"[A-Z]+@\d+",
}


def directives(text: str) -> dict[str, str]:
    """The directives of a job, which stand before its first command. Raises ValueError for one that is not known."""
    found: dict[str, str] = {}
    commands = False
    for line in text.splitlines():
        if line.startswith("#SBATCH"):
            match = DIRECTIVE.fullmatch(line)
            if commands or match is None or not re.fullmatch(VALUES.get(match[1], ".*"), match[3] or ""):
                raise ValueError(line)
            found[match[1]] = match[3] or ""
        commands = commands or bool(line.strip() and not line.startswith("#"))
    return found


def script_of(job: dict[str, Any]) -> str:
    """The script in a Nomad job, as its template writes it."""
    text: str = job["job"][0]['"hornetos"']["group"][0]['"hosts"']["task"][0]['"run"']["template"][0]["data"]
    return text.partition("\n")[2].rpartition("\n")[0]  # a heredoc, with its marks


def bash_accepts(text: str) -> bool:
    return subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).returncode == 0


def test_the_slurm_job_is_well_formed() -> None:
    text = (JOBS / "hornetos.sbatch").read_text()
    assert bash_accepts(text)
    assert {"array", "exclusive", "time"} <= set(directives(text))


def test_the_nomad_job_is_well_formed() -> None:
    with (JOBS / "hornetos.nomad.hcl").open() as stream:
        job = hcl2.load(stream)
    assert "hornetos run" in script_of(job)
    assert bash_accepts(script_of(job))


@pytest.mark.parametrize("bad", ["#SBATCH --aray=0-3", "#SBATCH --array=0..3", "true\n#SBATCH --array=0-3"])
def test_a_bad_directive_is_found(bad: str) -> None:
    with pytest.raises(ValueError):
        directives(bad)


def test_a_bad_script_is_found(tmp_path: Path) -> None:
    assert not bash_accepts("if true; then")
    (tmp_path / "job.hcl").write_text('job "x" {')
    with pytest.raises(Exception), (tmp_path / "job.hcl").open() as stream:  # noqa: B017  # the parser's own errors
        hcl2.load(stream)


def test_the_option_of_the_jobs_exists() -> None:
    assert "--name" in CliRunner().invoke(app, ["run", "--help"]).output
