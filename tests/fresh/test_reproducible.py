"""The same inputs give the same bytes: two builds from nothing that have only their inputs in common.

Directories, checkout, user, umask, time zone, locale, host name and number of processors differ. Images need root, so
their second user is one who uses sudo. Each downloads its packages and compiles everything: minutes to an hour.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from hornet.host.facts import require_root
from hornet.host.proc import run
from hornet.installation import SOURCE
from hornet.spec.model import load_spec
from hornet.spec.tiers import Layout
from tests.fresh.fresh_machine import kept_environment
from tests.support.same_bytes import differences

BUILD_TIMEOUT_S = 5400
KERNEL_FILES = ("vmlinux", "System.map", "config", "sbom.cdx.json")
IMAGE_FILES = ("rootfs.ext4", "manifest.json", "sbom.cdx.json")
# Of nobody else, and without a name in /etc/passwd.
OTHER_USER_ID = 54_321

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * BUILD_TIMEOUT_S)]


@dataclass(frozen=True)
class Builder:
    """Who builds, and where. settings: words before the command, which set what the command's process inherits."""

    directory: Path
    user_id: int
    umask: str
    environment: dict[str, str]
    settings: tuple[str, ...] = ()

    def build(self, kind: str, *words: str) -> Path:
        """The directory of the artifact that `hornetos WORDS` makes here. Raises CommandError."""
        checkout, home = self.directory / "checkout", self.directory / "home"
        self.directory.mkdir(parents=True)
        ignored = shutil.ignore_patterns(".git", ".hornet", ".tox", "__pycache__", ".*_cache", "*.egg-info")
        shutil.copytree(SOURCE, checkout, symlinks=True, ignore=ignored)
        home.mkdir()
        for path in (self.directory, home, checkout, *checkout.rglob("*")):
            os.chown(path, self.user_id, self.user_id, follow_symlinks=False)
        given = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "HORNET_HOME": str(home)}
        environment = {**given, **kept_environment(), **self.environment}
        command = f'umask {self.umask}; cd "$1"; shift; exec "$@"'
        argv: list[str | Path] = [
            *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
            *(*self.settings, "sh", "-c", command, "build", str(checkout)),
            *(sys.executable, "-m", "hornet_cli", *words),
        ]
        run(argv, timeout_s=BUILD_TIMEOUT_S)
        (inputs,) = (home / "build" / kind).glob("*/inputs.json")
        return inputs.parent


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users can reach."""
    require_root()
    with tempfile.TemporaryDirectory(prefix="hornet-reproducible-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def builders(place: Path, *, as_root: bool) -> tuple[Builder, Builder]:
    """Two builders; the second one gives up root if it can."""
    one = Builder(place / "a", 0, "022", {"TZ": "UTC", "LC_ALL": "C", "USER": "root"})
    other_host = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "host")
    one_processor = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    user = ("setpriv", "--reuid", str(OTHER_USER_ID), "--regid", str(OTHER_USER_ID), "--clear-groups")
    environment = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "LANGUAGE": "tr", "USER": "other"}
    if as_root:
        environment |= {"SUDO_UID": str(OTHER_USER_ID), "SUDO_GID": str(OTHER_USER_ID), "SUDO_USER": "other"}
    settings = (*other_host, *one_processor, *(() if as_root else user))
    other = Builder(place / "a-longer/and/deeper/path", OTHER_USER_ID, "077", environment, settings)
    return one, other


@pytest.mark.requirement("kernel-build")
def test_two_builders_of_a_kernel_get_the_same_bytes(place: Path) -> None:
    one, other = (builder.build("kernel", "build", "kernel") for builder in builders(place, as_root=False))
    assert differences(one, other, KERNEL_FILES) == []


@pytest.mark.parametrize("layout", get_args(Layout))
@pytest.mark.parametrize("tier", load_spec().tiers)
def test_two_builders_of_an_image_get_the_same_bytes(tier: str, layout: str, place: Path) -> None:
    overlay = place / "layout.toml"
    overlay.write_text(f'[tiers.{tier}]\nlayout = "{layout}"\n')
    words = ("--overlay", str(overlay), "build", "rootfs", "--tier", tier)
    one, other = (builder.build("rootfs", *words) for builder in builders(place, as_root=True))
    assert differences(one, other, IMAGE_FILES) == []
