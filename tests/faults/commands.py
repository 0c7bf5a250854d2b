"""The commands that faults are tried on: each really runs, in a world of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hornet.installation import SOURCE
from tests.faults.world import INPUTS, World

HORNETOS = (sys.executable, "-m", "hornet_cli")
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q")
MANIFEST_FILE = "manifest.json"
PREFIX = "faulty-"
NAMESPACES = (rf"/run/netns/{PREFIX}\w+", r"/run/netns/vm\d")
# Whoever builds in the store: children that take their time, in the order unpack, wait, pack.
STORE_SCRIPT = SOURCE / "tests/faults/store_command.py"


@dataclass(frozen=True)
class Command:
    """right: the exit code of the right verdict, and what is printed with it.

    makes: events of its life, see Moment. judges_machine: what the machine lacks is its verdict: exit code 1.
    prepare: makes what it works on. again: what comes after a fault, when the same words can't be said twice.
    undo: removes what it leaves on purpose, so that nothing may be left. keeps: what may be left until then.
    """

    name: str
    argv: Callable[[World], Sequence[str | Path]]
    weight: float
    right: tuple[int, str]
    prepare: Callable[[World], None] = lambda world: None
    again: Callable[[World], Sequence[str | Path]] | None = None
    undo: Sequence[str] = ()
    keeps: Sequence[str] = ()
    makes: Sequence[str] = ()
    judges_machine: bool = False


def _kernel(world: World) -> Path:
    return next(world.workspace.glob("build/kernel/*/vmlinux"))


def _snapshot(world: World) -> Path:
    return next(path.parent for path in world.workspace.glob(f"snapshots/[!.]*/{MANIFEST_FILE}"))


def _sound_image(world: World) -> None:
    subprocess.run(["truncate", "-s", "24M", INPUTS / "fs"], check=True)
    subprocess.run(["mkfs.ext4", "-qF", "-b", "1024", "-d", SOURCE / "hornet", INPUTS / "fs"], check=True)


def _damaged_image(world: World) -> None:
    _sound_image(world)
    subprocess.run(
        ["debugfs", "-w", "-R", "clri <12>", INPUTS / "fs"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _config(world: World, *, without: str = "") -> None:
    config = (_kernel(world).parent / "config").read_text()
    (INPUTS / "config").write_text(re.sub(without, "", config) if without else config)


def _wrong_config(world: World) -> None:
    _config(world, without="CONFIG_TUN=y\n")


def _unproved_lane(world: World) -> None:
    """The lane that works everywhere: others may take their whole time limit to be found unusable."""
    for proof in world.workspace.glob("cache/lanes/*.json"):
        if json.loads(proof.read_text())["lane"] == "qemu/tcg":
            proof.unlink()


def _nets_are_up(world: World) -> None:
    _quietly([*HORNETOS, "net", "up", "--count", "2", "--private", PREFIX], world)


def _a_broken_net(world: World) -> None:
    _nets_are_up(world)
    netns = ["nsenter", f"--net=/run/netns/{PREFIX}vm2", "--"]
    subprocess.run([*netns, "ip", "addr", "flush", "dev", "br-vm"], check=True)


def _own_uplink(world: World) -> None:
    """The machine's own network, in a world that has one of its own."""
    for words in (
        "link add up0 type veth peer name up1",
        "link set up0 up",
        "link set up1 up",
        "addr add 192.0.2.2/24 dev up0",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    subprocess.run(["ip", "route", "add", "default", "via", "192.0.2.1"], check=True)


def _unsealed_bundle(world: World) -> None:
    shutil.copytree(_snapshot(world), INPUTS / "bundle", ignore=shutil.ignore_patterns(MANIFEST_FILE, "seal.json"))


def _adopt(world: World) -> list[str | Path]:
    return [*HORNETOS, "adopt", INPUTS / "bundle", "--lane", "qemu/tcg", "--tier", "standard"]


def _adopt_again(world: World) -> list[str | Path]:
    """A bundle that was sealed before the fault came is whole: then its seal must hold, and adopting is refused."""
    (INPUTS / "bundle" / MANIFEST_FILE).unlink(missing_ok=True)
    return _adopt(world)


def _another_image(world: World) -> None:
    """The same packages, another date: the image is built again on layers that are there."""
    epoch = re.search(r"^source_date_epoch = (\d+)", (SOURCE / "spec" / "builders.toml").read_text(), re.MULTILINE)
    assert epoch
    (INPUTS / "date.toml").write_text(f"[rootfs]\nsource_date_epoch = {int(epoch[1]) + 1}\n")


def _changes(world: World) -> None:
    (INPUTS / "changes.sh").write_text("echo faults >/etc/faults\n")


def _new_version(world: World) -> list[str | Path]:
    return [*HORNETOS, "new-version", _snapshot(world), "faults-v2", "--script", INPUTS / "changes.sh"]


def _new_version_again(world: World) -> list[str | Path]:
    """What was published stays published."""
    there = (world.workspace / "snapshots/faults-v2").exists()
    return [*HORNETOS, "validate", "faults-v2"] if there else _new_version(world)


def _quietly(argv: Sequence[str], world: World) -> None:
    subprocess.run(argv, check=True, env=world.environment, cwd=SOURCE, stdout=subprocess.DEVNULL)


def hornetos(*words: str | Path) -> Callable[[World], list[str | Path]]:
    return lambda world: [*HORNETOS, *words]


FLAGS, NET_DOWN = r"\d+ of \d+ flags hold", (*HORNETOS, "net", "down", "--private", PREFIX)
net_command = partial(Command, keeps=NAMESPACES, undo=NET_DOWN)
machine_net_command = partial(
    Command, keeps=(*NAMESPACES, r"link veth-vm\d-br", "nft .*"), undo=(*HORNETOS, "net", "down")
)

COMMANDS = {
    command.name: command
    for command in (
        Command("ext4", hornetos("ext4", INPUTS / "fs"), 12, (0, ": sound"), _sound_image, makes=("child", "work")),
        Command(
            "ext4-damaged",
            hornetos("ext4", INPUTS / "fs"),
            6,
            (1, ": DAMAGED"),
            _damaged_image,
            makes=("child", "work"),
        ),
        Command("kconfig", hornetos("kconfig", INPUTS / "config"), 7, (0, FLAGS), _config, makes=("child",)),
        Command(
            "kconfig-wrong", hornetos("kconfig", INPUTS / "config"), 4, (1, FLAGS), _wrong_config, makes=("child",)
        ),
        Command("host", hornetos("host"), 6, (0, "qemu/tcg"), makes=("child",), judges_machine=True),
        Command(
            "host-lanes",
            hornetos("host"),
            9,
            (0, r"qemu/tcg\s+✓"),
            _unproved_lane,
            judges_machine=True,
            makes=("vmm", "child", "work"),
        ),
        net_command("net-up", hornetos("net", "up", "--count", "3", "--private", PREFIX), 9, (0, "already correct")),
        net_command("net-down", hornetos("net", "down", "--private", PREFIX), 6, (0, "networks removed"), _nets_are_up),
        net_command(
            "net-list", hornetos("net", "list", "--private", PREFIX), 3, (0, "vm2|no VM networks"), _nets_are_up
        ),
        net_command(
            "net-check",
            hornetos("net", "check", "--count", "2", "--private", PREFIX),
            4,
            (1, "[01] of 2 VM networks"),
            _a_broken_net,
        ),
        machine_net_command(
            "machine-net-up",
            hornetos("net", "up", "--count", "2"),
            6,
            (0, "already correct"),
            _own_uplink,
        ),
        Command(
            "store",
            lambda world: [sys.executable, STORE_SCRIPT, "make-artifact"],
            14,
            (0, "made "),
            makes=("child", "work"),
        ),
        Command("rollback", lambda world: [*HORNETOS, "rollback", _snapshot(world).name], 7, (0, "production: ")),
        Command(
            "adopt",
            _adopt,
            6,
            (0, "sealed in its current state"),
            _unsealed_bundle,
            _adopt_again,
            makes=("child", "work"),
        ),
        Command(
            "build-rootfs",
            hornetos("--overlay", INPUTS / "date.toml", "build", "rootfs"),
            4,
            (0, "standard from debian"),
            _another_image,
            makes=("child", "work"),
        ),
        Command(
            "validate",
            lambda world: [*HORNETOS, "validate", _snapshot(world)],
            1.5,
            (0, "validation: passed"),
            makes=("vmm", "child", "work"),
        ),
        Command(
            "new-version",
            _new_version,
            1,
            (0, "published |validation: passed"),
            _changes,
            _new_version_again,
            makes=("vmm", "child", "work"),
        ),
        Command(
            "conformance",
            lambda world: [
                *PYTEST,
                "-m",
                "conformance",
                "tests/conformance/test_boot.py",
                f"--snapshot={_snapshot(world)}",
            ],
            1.5,
            (0, r"\d+ passed"),
            makes=("vmm", "child", "work"),
        ),
    )
}
