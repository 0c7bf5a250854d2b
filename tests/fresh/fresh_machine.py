"""A machine that nothing was done to: a new Debian in a directory, entered as an ordinary user who may use sudo.

It has mount and process namespaces of its own, and shares network, devices and kernel with this machine. Its home has
mode 0700 and its user the umask 027, which is what careful administrators set.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builders.apt.packages import TRUST
from builders.apt.sources import apt_sources
from hornet.host.proc import run
from hornet.installation import SOURCE
from hornet.spec.model import load_spec

RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
NEWEST = list(RELEASES)[-1]
USER, USER_ID = "user", 1000
HOME = f"/home/{USER}"
SUITE = f"{HOME}/suite"
UMASK = "027"
# What a user behind a proxy, with an index or with certificates of their own keeps through sudo (README).
KEPT = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_*", "SSL_CERT_*"),
    *("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "npm_config_*", "NPM_CONFIG_*", "CI"),
)
# How apt reaches its mirrors; dates are not checked where those of a past day are used.
APT_SETTINGS = re.compile(r"^Acquire::(?:https?|Check-Valid-Until|Check-Date)\b.*", re.MULTILINE)
MAKE_TIMEOUT_S = 600
# /tmp and HORNET_HOME stay on the disk of the root: a kernel build takes 3 GB.
ENTER = """
set -e
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount --bind "$cache/archives" var/cache/apt/archives
mount --bind "$cache/pip" srv
pivot_root . mnt
cd /
umount --lazy /mnt
# No exec: process 1 must stay as it is, to be killed with whoever entered, and all others with it.
setpriv --reuid "$user_id" --regid "$user_id" --init-groups "$@"
"""


@dataclass(frozen=True)
class Outcome:
    """A command that ended: its exit code, what it printed, and how long it took, in seconds."""

    exit_code: int
    output: str
    took_s: float

    @property
    def counts(self) -> list[str]:
        """pytest's own last words, one for each of its runs."""
        return re.findall(r"^(?:=+ )?(\d+ (?:passed|failed|skipped|error).*?)(?: =+)?$", self.output, re.MULTILINE)


@dataclass(frozen=True)
class FreshMachine:
    """root: its file system; cache: downloads that its predecessors made, of packages for apt and pip."""

    root: Path
    cache: Path

    @classmethod
    def make(cls, release: str, root: Path, cache: Path) -> FreshMachine:
        """A new one of this release in an empty directory, with a copy of the checkout. Raises CommandError."""
        for name in ("archives/partial", "pip"):
            (cache / name).mkdir(parents=True, exist_ok=True)
        debian = load_spec().rootfs.debian.model_copy(update={"suite": release, "components": ["main"]})
        argv = [
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--architectures=amd64", TRUST),
            *("--include=sudo,ca-certificates", "--dpkgopt=force-unsafe-io"),
            *(release, str(root), *apt_sources(debian)),
        ]
        run(argv, timeout_s=MAKE_TIMEOUT_S)
        machine = cls(root, cache)
        machine._connect()
        machine._add_user()
        machine._add_checkout()
        return machine

    def run(
        self, command: str, *, timeout_s: float, log: Path | None = None, on_line: Callable[[str], None] | None = None
    ) -> Outcome:
        """Run a shell command as the user, in their copy of the checkout."""
        environment = {
            **{"HOME": HOME, "USER": USER, "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb"},
            # Nothing is downloaded twice; root may write there, the user may not, and pip says so.
            **{"PIP_CACHE_DIR": "/srv", **kept_environment()},
        }
        words = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        words += ["bash", "-c", f"umask {UMASK}; cd {shlex.quote(SUITE)} && {command}"]
        began_s = time.monotonic()
        done = run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", ENTER, "enter", *words],
            env={"root": str(self.root), "cache": str(self.cache), "user_id": str(USER_ID)},
            ok_codes=range(256),
            timeout_s=timeout_s,
            log=log,
            on_line=on_line,
        )
        return Outcome(done.exit_code, done.output, time.monotonic() - began_s)

    def remove(self) -> None:
        """Remove its file system; its mounts are gone with its processes."""
        shutil.rmtree(self.root)

    def _connect(self) -> None:
        """What this machine needs to reach its mirrors and registries, the new one needs too."""
        settings = run(["apt-config", "dump"], timeout_s=60).output
        text = "\n".join(APT_SETTINGS.findall(settings)) + "\n"
        (self.root / "etc/apt/apt.conf.d/99fresh").write_text(
            f'{text}Binary::apt::APT::Keep-Downloaded-Packages "1";\n'
        )
        (self.root / "etc/apt/apt.conf.d/docker-clean").unlink(missing_ok=True)
        (self.root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
        named = [value for value in kept_environment().values() if value.startswith("/") and Path(value).is_file()]
        for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/pip.conf", *named):
            target = self.root / path.lstrip("/")
            if Path(path).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy(path, target)

    def _add_user(self) -> None:
        for file, line in {
            "passwd": f"{USER}:x:{USER_ID}:{USER_ID}::{HOME}:/bin/bash",
            "group": f"{USER}:x:{USER_ID}:",
            "shadow": f"{USER}:!:1::::::",
        }.items():
            with (self.root / "etc" / file).open("a") as stream:
                stream.write(f"{line}\n")
        sudoers = self.root / "etc/sudoers.d/fresh"
        sudoers.write_text(f'{USER} ALL=(ALL) NOPASSWD: ALL\nDefaults env_keep += "{" ".join(KEPT)}"\n')
        sudoers.chmod(0o440)

    def _add_checkout(self) -> None:
        """A copy with the modes that the user's umask gives; all that git would not have is left out."""
        target = self.root / SUITE.lstrip("/")
        ignored = shutil.ignore_patterns(".git", ".hornet", ".tox", "__pycache__", ".*_cache", "*.egg-info")
        shutil.copytree(SOURCE, target, symlinks=True, ignore=ignored)
        workspace = self.root / HOME.lstrip("/")
        for path in [workspace, *workspace.rglob("*")]:
            os.chown(path, USER_ID, USER_ID, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~int(UMASK, 8))
        workspace.chmod(0o700)


def kept_environment() -> dict[str, str]:
    """What of this process's environment reaches the commands of the new machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PIP_CACHE_DIR" and any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT)
    }
