"""A world of its own for one command: what it leaves there can be seen, and all of it ends with the world.

The process that stands in it is the first of a PID namespace, in a mount and a network namespace of its own: every
orphan becomes its child, /tmp and /run are empty, HORNET_HOME is an overlay whose upper layer holds exactly what was
changed. Nothing of it can be seen from outside, and nothing survives its first process.
"""

from __future__ import annotations

import filecmp
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hornet.installation import SOURCE

UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
SCRATCH = Path("/mnt")
COVERED = (SCRATCH, Path("/tmp"), Path("/run"))
# Where the home's changes go, and what commands work on.
DISK, INPUTS, LOWER = SCRATCH / "disk", SCRATCH / "inputs", SCRATCH / "lower"
DISK_MIB = 1536
PUBLISHED = ("build", "snapshots", "keys", "images")
# In a published directory, what is no part of what was published: locks, and what stat said of a snapshot's files.
NOTES = re.compile(r"(^|/)(\.?[^/]*\.lock|seal\.json)$")
RUN_NETNS = Path("/run/netns")
# The directory of names of network namespaces is the system's; a lock file that is removed locks nothing.
MAY_STAY = (RUN_NETNS, DISK / "upper/run/vms", DISK / "upper/run/ids.lock")
UNFINISHED = re.compile(r"\.tmp-|\.new$")


def what_is_hidden(workspace: Path) -> str | None:
    """Why no world can be made: what it needs lies where it puts empty directories. None if it can."""
    for path in COVERED:
        for needed in (workspace, SOURCE):
            if needed.is_relative_to(path):
                return f"{needed}: the fault test covers {path}; keep the checkout and HORNET_HOME elsewhere"
    return None


@dataclass
class World:
    """home: HORNET_HOME. environment: of the commands that run here. nothing: /dev/null, also where it is missing."""

    workspace: Path
    on_ext4: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    nothing: int = -1
    links: set[str] = field(default_factory=set)
    mounts: set[str] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)

    def enter(self) -> None:
        """Furnish the namespaces that this process has been started in."""
        if hidden := what_is_hidden(self.workspace):
            raise SystemExit(hidden)
        mount("-t", "tmpfs", "-o", "size=6g", "scratch", SCRATCH)
        for path in (DISK, INPUTS, LOWER):
            path.mkdir()
        mount("--bind", self.workspace, LOWER)
        self.nothing = os.open("/dev/null", os.O_RDWR)
        self.mount_disk()
        self.boot()
        self.environment = {**os.environ, "HORNET_HOME": str(self.workspace), "PYTHONPATH": str(SOURCE)}
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"
        self.environment.pop("PYTEST_CURRENT_TEST", None)

    def mount_disk(self) -> None:
        """Where the home's changes go: a file system of its own, that can be filled, made read-only, or cut off."""
        if not self.on_ext4:
            mount("-t", "tmpfs", "-o", f"size={DISK_MIB}m", "disk", DISK)
            return
        image = SCRATCH / "disk.img"
        if not image.exists():
            run("truncate", "-s", f"{DISK_MIB}M", image)
            run("mkfs.ext4", "-qF", "-J", "size=16", "-E", "lazy_itable_init=1", image)
        mount("-o", "loop", image, DISK)

    def boot(self) -> None:
        """What is there after the machine's start: empty /tmp and /run, the network's lo, the home."""
        mount("-t", "tmpfs", "-o", "mode=1777", "tmp", "/tmp")
        mount("-t", "tmpfs", "run", "/run")
        run("ip", "link", "set", "lo", "up")
        upper, work = DISK / "upper", DISK / "work"
        for path in (upper, work):
            path.mkdir(exist_ok=True)
        # The overlay's own directory is the upper one: it must belong to the owner of the home.
        owner = LOWER.stat()
        os.chown(upper, owner.st_uid, owner.st_gid)
        if not (upper / "run").exists():
            (upper / "run").mkdir()
            os.setxattr(upper / "run", "trusted.overlay.opaque", b"y")
        layers = f"lowerdir={LOWER},upperdir={upper},workdir={work}"
        mount("-t", "overlay", "-o", layers, "home", self.workspace)

    def shut_down(self) -> None:
        """Without the network of before, its names, and the home."""
        for path in (self.workspace, "/run", "/tmp", DISK):
            run("umount", "--recursive", "--lazy", path)

    def note(self) -> None:
        """Remember what is there before the command."""
        self.links, self.files = set(_links()), set(_files())
        self.note_mounts()

    def note_mounts(self) -> None:
        """Remember what is mounted now."""
        self.mounts = {key for key, _ in _mounts()}

    def left(self, keeps: Sequence[str] = ()) -> list[str]:
        """What is here that was not noted, and is not a finished thing in the home; patterns of `keeps` may stay."""
        found = [
            *(f"process {pid}: {name}" for pid, name in _others()),
            *(f"link {name}" for name in _links() if name not in self.links),
            *(f"nft {table}" for table in _tables()),
            *(f"mount {point}" for key, point in _mounts() if key not in self.mounts and not _is_name(point)),
            *(str(path) for path in _files() if path not in self.files),
            *(str(path) for path in _upper() if UNFINISHED.search(path.name)),
        ]
        return [thing for thing in found if not any(re.fullmatch(pattern, thing) for pattern in keeps)]

    def damage(self) -> list[str]:
        """How what was published differs from what it was."""
        return [problem for path in _upper() if (problem := _difference(path))]

    def new_things(self, kind: str) -> list[Path]:
        """Finished directories that were not there before: kind is build/* or snapshots."""
        made = (path for path in (DISK / "upper").glob(f"{kind}/*") if path.is_dir())
        relative = (path.relative_to(DISK / "upper") for path in made if not UNFINISHED.search(path.name))
        return [self.workspace / path for path in relative if not (LOWER / path).exists() and not path.suffix]


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True)


def mount(*words: str | Path) -> None:
    run("mount", *words)


def _upper() -> Iterator[Path]:
    for top in PUBLISHED:
        yield from sorted((DISK / "upper" / top).rglob("*"))


def _difference(path: Path) -> str | None:
    name = str(path.relative_to(DISK / "upper"))
    before = LOWER / name
    if NOTES.search(name) or not os.path.lexists(before):
        return None
    now = path.lstat()
    if stat.S_ISCHR(now.st_mode) and now.st_rdev == 0:
        return f"{name}: was removed"
    if stat.S_IFMT(now.st_mode) != stat.S_IFMT(before.lstat().st_mode):
        return f"{name}: became another kind of file"
    if stat.S_ISREG(now.st_mode) and not filecmp.cmp(path, before, shallow=False):
        return f"{name}: its content was changed"
    if stat.S_ISDIR(now.st_mode) and "trusted.overlay.opaque" in os.listxattr(path):
        return f"{name}: was replaced"
    return None


def _others() -> Iterator[tuple[int, str]]:
    """Every process of this world but its first one."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name not in ("1", str(os.getpid())):
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z":
                yield int(entry.name), words[:120]


def _files() -> list[Path]:
    """Of temporary kind: of this world, and of the home."""
    places = (Path("/tmp"), Path("/run"), DISK / "upper/run")
    return sorted(path for place in places for path in place.rglob("*") if path not in MAY_STAY)


def _links() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _tables() -> list[str]:
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return listed.stdout.splitlines()


def _mounts() -> list[tuple[str, str]]:
    """Id and place of each; by the id, as somebody may rename a directory above that place from outside."""
    fields = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [(words[0], words[4]) for words in fields]


def _is_name(point: str) -> bool:
    """A named network namespace is a mount, and listed as a file of /run/netns."""
    return Path(point).is_relative_to(RUN_NETNS)


def world_argv(*words: str) -> list[str]:
    """The command line that runs a module of this folder as the first process of a world."""
    return [*UNSHARE, sys.executable, "-m", *words]
