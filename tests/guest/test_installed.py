"""The suite installed from its wheel, used from a team's own repository (docs/team-repository) without a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hornet.host.workspace import Workspace
from hornet.installation import PACKAGES, SOURCE
from hornet.results.collected import IMAGE_SUITES
from hornet.snapshot import Bundle
from hornet.vm.guest import SshKey
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.guest

BUILD_TIMEOUT_S = 900
USE_TIMEOUT_S = 300
RUN_TIMEOUT_S = 900
EXAMPLE = SOURCE / "docs" / "team-repository"
# What the wheel is made from.
INGREDIENTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
SUITES = tuple(f"tests/{suite}" for suite in IMAGE_SUITES)
FOLDERS = (*(package for package in PACKAGES if package != "hornet_tests"), "spec", *SUITES)
NOTHING: Mapping[str, str] = {}
NOBODY = 65534
UNPRIVILEGED = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


class Installation:
    """An environment that holds the wheel and its dependencies, and a team's repository beside it."""

    def __init__(self, directory: Path, workspace: Path) -> None:
        self.bin = directory / "venv" / "bin"
        self.repository = directory / "team"
        self._workspace = workspace

    def run(
        self,
        *words: str | Path,
        prefix: tuple[str, ...] = (),
        environment: Mapping[str, str] = NOTHING,
        timeout_s: float = USE_TIMEOUT_S,
    ) -> tuple[int, str]:
        """A command in the repository: exit code and output. The checkout is not on its path."""
        settings = {"PATH": os.environ["PATH"], "HORNET_HOME": str(self._workspace), "LANG": "C.UTF-8", **environment}
        argv = [*prefix, self.bin / words[0], *words[1:]]
        done = subprocess.run(
            argv, cwd=self.repository, env=settings, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installation(workspace: Workspace) -> Iterator[Installation]:
    """The wheel of this checkout, built and installed into an empty environment, as a user does it."""
    with tempfile.TemporaryDirectory(prefix="hornet-installed-") as place:
        directory = Path(place)
        directory.chmod(0o755)
        wheel = _wheel(directory)
        subprocess.run(["/usr/bin/python3", "-m", "venv", directory / "venv"], check=True, timeout=BUILD_TIMEOUT_S)
        # Isolated: the checkout on PYTHONPATH has the package's metadata, and pip would find nothing to install.
        pip = (str(directory / "venv/bin/python"), "-I", "-m", "pip", "install", "--quiet")
        # With the extra `build`: `hornetos run` looks for npm before it looks for a finished image.
        install = [*pip, "-c", str(SOURCE / "constraints.txt"), f"{wheel}[build]"]
        subprocess.run(install, check=True, timeout=BUILD_TIMEOUT_S)
        shutil.copytree(EXAMPLE, directory / "team")
        # Other users run it, also where the umask gives them nothing.
        subprocess.run(["chmod", "-R", "a+rX", str(directory)], check=True)
        yield Installation(directory, workspace.root)


def _wheel(directory: Path) -> Path:
    """Built from a copy: setuptools leaves its own files beside what it builds."""
    source = directory / "source"
    for folder in FOLDERS:
        shutil.copytree(SOURCE / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in INGREDIENTS:
        shutil.copy(SOURCE / name, source / name)
    build = (sys.executable, "-I", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(directory), str(source))
    subprocess.run(build, check=True, timeout=BUILD_TIMEOUT_S)
    shutil.rmtree(source)
    (wheel,) = directory.glob("*.whl")
    return wheel


def test_command_prints_its_version(installation: Installation) -> None:
    code, output = installation.run("hornetos", "--version")
    assert (code, output.split()[0]) == (0, "hornetos-suite")


def test_a_shell_completes_commands(installation: Installation) -> None:
    asked = {"_HORNETOS_COMPLETE": "complete_bash", "COMP_WORDS": "hornetos val", "COMP_CWORD": "1"}
    assert installation.run("hornetos", environment=asked) == (0, "validate\n")


def test_files_are_judged_without_root(installation: Installation, bundle: Bundle) -> None:
    home = installation.repository / "home"
    home.mkdir()
    image = home / "rootfs.ext4"
    shutil.copy(bundle.rootfs, image)
    for path in (home, image):
        os.chown(path, NOBODY, NOBODY)
    environment = {"HOME": str(home), "HORNET_HOME": ""}
    code, output = installation.run("hornetos", "ext4", image, prefix=UNPRIVILEGED, environment=environment)
    assert (code, "sound" in output) == (0, True), output
    code, output = installation.run("hornetos", "host", prefix=UNPRIVILEGED, environment=environment)
    assert code == 1
    assert "can judge files" in output
    assert "cannot run VMs" in output


def test_a_team_judges_a_snapshot_by_all_checks_and_its_own(
    installation: Installation, bundle: Bundle, key: SshKey, tmp_path: Path
) -> None:
    options = (f"--snapshot={bundle.directory}", "--overlay=overlay.toml", f"--ssh-key={key.private_path}")
    # A part of conformance: one restore answers it, and that each module is there, collection shows.
    chosen = ("-q", "-k", "tools or files or kernel or agent", f"--run-dir={tmp_path / 'run'}")
    code, output = installation.run("pytest", "--pyargs", "hornet_tests.conformance", "tests", *options, *chosen)
    assert code == 0, output
    results = (tmp_path / "run" / "junit.xml").read_text()
    for name in ("[sed]", "[os_release]", "test_the_agent_finds_its_shell"):
        assert name in results
    code, output = installation.run("hornetos", "gate", tmp_path / "run")
    assert code == 2, "no target was measured"
    assert "this run has no record of it" in output
    assert "conformance/test_boot: not run: " in output
    assert "conformance/test_tools: not run: " not in output


def test_a_snapshot_is_validated(installation: Installation, bundle: Bundle) -> None:
    code, output = installation.run("hornetos", "validate", bundle.directory)
    assert (code, "validation: passed" in output) == (0, True), output


@pytest.mark.parametrize("suite", IMAGE_SUITES)
def test_every_module_of_users_tests_is_in_the_wheel(suite: str, installation: Installation) -> None:
    code, output = installation.run("pytest", "--pyargs", f"hornet_tests.{suite}", "--collect-only", "-qq")
    assert code == 0, output
    modules = {module.name for module in (SOURCE / "tests" / suite).glob("test_*.py")}
    assert modules
    assert {name for name in modules if f"{name}:" in output} == modules


@pytest.mark.timeout(RUN_TIMEOUT_S)
def test_run_passes_from_the_wheel(installation: Installation, image: Image, bundle: Bundle, tier_name: str) -> None:
    """The main job without a checkout. Kernel, image and snapshot are those that the checkout has built."""
    code, output = installation.run("hornetos", "run", f"--tier={tier_name}", timeout_s=RUN_TIMEOUT_S)
    assert code == 0, output
    assert f"rootfs: {tier_name}, {image.manifest['size_mb']:.1f} MB, {image.path}" in output
    assert "warning" not in output.lower()


def test_checkout_only_commands_say_so(installation: Installation) -> None:
    code, output = installation.run("hornetos", "test")
    assert (code, "needs a checkout" in output) == (2, True)
