"""Wrong use of pytest's options and of `hornetos` is one sentence, before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from hornet.errors import HostError
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.spec.model import load_spec
from hornet.vm import lanes
from hornet.vm.lanes import LaneState, require_lane
from hornet_cli.app import app
from tests.support.synthetic_run import make_run

MAX_LINES = 6


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--network-scale=-4", "'-4' is not a positive number"),
        ("--network-scale=0", "'0' is not a positive number"),
        ("--lane=qemu/tgc", "unknown lane 'qemu/tgc'"),
        ("--tier=giant", "unknown tier 'giant'"),
        ("--distro=gentoo", "--distro: invalid choice: 'gentoo'"),
        ("--require=giant", "unknown tier 'giant'"),
        ("--spec=/nowhere", "/nowhere: no such file"),
        ("--overlay=/nowhere", "/nowhere: no such file"),
        ("--image=/nowhere", "--image /nowhere: no such file"),
        ("--kernel=/nowhere", "--kernel /nowhere: no such file"),
        ("--snapshot=/nowhere", "--snapshot /nowhere: no such file"),
        ("--ssh-key=/nowhere", "--ssh-key /nowhere: no such file"),
    ],
)
def test_wrong_option_of_pytest_is_one_usage_error(option: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text("def test_passes(): pass\n")
    words = [sys.executable, "-m", "pytest", "-p", "hornet_fixtures.plugin", f"--rootdir={tmp_path}", option]
    ended = subprocess.run(
        [*words, f"--run-dir={tmp_path}/run", str(tmp_path)],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) <= MAX_LINES
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("value", ["-5", "nan", "0"])
@pytest.mark.parametrize("option", ["--memory-mb", "--vm-memory-mb", "--cores"])
def test_impossible_size_is_rejected(option: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    make_run(tmp_path / "reports" / "20260101-000000")
    shown = CliRunner().invoke(app, ["capacity", "20260101-000000", option, value])
    assert shown.exit_code == 2
    assert "Input should be" in shown.output


@pytest.mark.parametrize("usable", [True, None, False])
def test_only_a_lane_that_works_is_accepted(
    usable: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "_probe", Mock(return_value=LaneState("qemu/kvm", usable, "no /dev/kvm")))
    home, spec = Workspace(tmp_path), load_spec()
    if usable is False:
        with pytest.raises(HostError, match="lane qemu/kvm does not work on this host: no /dev/kvm"):
            require_lane(home, Path("vmlinux"), spec, "qemu/kvm")
    else:
        assert str(require_lane(home, Path("vmlinux"), spec, "qemu/kvm")) == "qemu/kvm"
