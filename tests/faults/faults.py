"""The faults: each is done to a running command, or holds from its start, and can be undone afterwards."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from hornet.vmm.registry import vmm_programs
from tests.faults.world import DISK, SCRATCH, World, mount, run
from tests.support.vmm_processes import vmm_processes

STOPPED_S = 1.5
AGAIN_S = 0.2
READ_ONLY_TRIES_S = 3.0
SSH_TIMEOUT_S = 20
SIGNAL_CODES = {number: {128 + number, -number} for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
FARM, DEVICES = SCRATCH / "bin", SCRATCH / "dev"


class Missed(Exception):
    """The fault could not be done: what it is done to is not there."""


@dataclass
class Running:
    """The command under test, while it runs. chance: decides what is left open."""

    world: World
    process: subprocess.Popen[bytes]
    chance: random.Random

    def descendants(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def vmm(self) -> psutil.Process | None:
        return next(iter(vmm_processes(self.process.pid)), None)


@dataclass
class Settings:
    """How a command is started: its environment, descriptors of its own for stdout or stderr, what it does first."""

    environment: dict[str, str]
    outputs: dict[str, int] = field(default_factory=dict)
    before_exec: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Fault:
    """codes: how the command may end beside its right verdict (by the number that subprocess gives).

    do: what is done at the moment. setting: what holds from the start: it changes how the command is started.
    needs: what a command must have made for this: a "child", a "vmm". undo: makes the world whole again.
    cleans_up: whether the command itself can still remove what it made.
    output: whether what it prints can be read.
    """

    name: str
    codes: frozenset[int]
    do: Callable[[Running], None] | None = None
    setting: Callable[[World, Settings], None] | None = None
    undo: Callable[[World], None] = lambda world: None
    weight: float = 1
    needs: str | None = None
    cleans_up: bool = True
    on_ext4: bool = False
    output: bool = True

    @property
    def from_the_start(self) -> bool:
        return self.do is None


def send(running: Running, number: int, *, group: bool = False) -> None:
    with suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(running.process.pid, number)


def send_twice(running: Running, number: int) -> None:
    send(running, number, group=True)
    time.sleep(running.chance.uniform(0, AGAIN_S))
    send(running, number, group=True)


def send_to_child(running: Running, number: int) -> None:
    children = running.descendants()
    if not children:
        raise Missed("no descendant")
    running.chance.choice(sorted(children, key=lambda child: child.pid)).send_signal(number)


def send_to_vmm(running: Running, number: int) -> None:
    vmm = running.vmm()
    if vmm is None:
        raise Missed("no VMM")
    vmm.send_signal(number)


def stop_for_a_while(send_to: Callable[[Running, int], None], running: Running) -> None:
    send_to(running, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    with suppress(psutil.NoSuchProcess, Missed):
        send_to(running, signal.SIGCONT)


def stop_vmm(running: Running) -> None:
    vmm = running.vmm()
    if vmm is None:
        raise Missed("no VMM")
    vmm.suspend()
    time.sleep(STOPPED_S)
    with suppress(psutil.NoSuchProcess):
        vmm.resume()


def kill_sshd(running: Running) -> None:
    states = sorted(running.world.workspace.glob("run/vms/*/vm.json"))
    if not states:
        raise Missed("no VM")
    state = json.loads(running.chance.choice(states).read_text())
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10"]
    ssh = ["ssh", "-q", *options, "-i", state["ssh_key"], "root@10.0.0.2", "kill -9 $(pidof sshd)"]
    enter = ["nsenter", f"--net=/run/netns/{state['namespace']}", "--"]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*enter, *ssh],
            timeout=SSH_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def fill_disk(running: Running) -> None:
    """Whatever is free is taken, down to the last block."""
    with (DISK / "filler").open("wb", buffering=0) as filler:
        size = 1 << 30
        while size >= 4096:
            try:
                os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, size)
            except OSError:
                size //= 2


def empty_disk(world: World) -> None:
    (DISK / "filler").unlink(missing_ok=True)


def make_read_only(running: Running) -> None:
    """The kernel refuses while a file is open for writing: then a little later."""
    deadline_s = time.monotonic() + READ_ONLY_TRIES_S
    while subprocess.run(
        ["mount", "-o", "remount,ro,bind", running.world.workspace], stderr=subprocess.DEVNULL, check=False
    ).returncode:
        if time.monotonic() > deadline_s or running.process.poll() is not None:
            raise Missed("files are always open for writing")
        time.sleep(0.005)


def make_writable(world: World) -> None:
    run("mount", "-o", "remount,rw,bind", world.workspace)


def cut_power(running: Running) -> None:
    """Everything stops at once; what the backing file holds then is what the disk would hold."""
    everything = [running.process.pid, *(child.pid for child in running.descendants())]
    _send_all(everything, signal.SIGSTOP)
    try:
        _copy_at_rest(SCRATCH / "disk.img", SCRATCH / "after.img")
    finally:
        _send_all(everything, signal.SIGKILL)
        running.process.wait()


def _send_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _copy_at_rest(image: Path, copy: Path) -> None:
    """A kernel thread may be writing: until it is the same twice."""
    for _ in range(20):
        run("cp", "--sparse=always", image, copy)
        if subprocess.run(["cmp", "-s", image, copy], check=False).returncode == 0:
            return
    raise Missed("the disk is never at rest")


def start_after_power_cut(world: World) -> None:
    if not (SCRATCH / "after.img").exists():
        return
    world.shut_down()
    (SCRATCH / "after.img").replace(SCRATCH / "disk.img")
    world.mount_disk()
    world.boot()
    world.note_mounts()


def without_tool(name: str, world: World, settings: Settings) -> None:
    """PATH leads to every program of the machine but one."""
    FARM.mkdir()
    for directory in reversed(world.environment["PATH"].split(":")):
        for program in Path(directory).glob("*"):
            (FARM / program.name).unlink(missing_ok=True)
            (FARM / program.name).symlink_to(program)
    (FARM / name).unlink(missing_ok=True)
    settings.environment = {**world.environment, "PATH": str(FARM)}


def without_device(name: str, world: World, settings: Settings) -> None:
    """A /dev without one of its devices."""
    DEVICES.mkdir()
    mount("-t", "tmpfs", "dev", DEVICES)
    for entry in Path("/dev").iterdir():
        if entry.is_dir() and not entry.is_symlink():
            (DEVICES / entry.name).mkdir()
            mount("--rbind", entry, DEVICES / entry.name)
        else:
            run("cp", "-a", entry, DEVICES)
    if name == "net/tun":
        mount("-t", "tmpfs", "empty", DEVICES / "net")
    elif name == "shm":
        run("umount", DEVICES / name)
        (DEVICES / name).rmdir()
    else:
        (DEVICES / name).unlink(missing_ok=True)
    mount("--rbind", DEVICES, "/dev")
    world.note_mounts()


def with_all_devices(world: World) -> None:
    run("umount", "--recursive", "--lazy", "/dev")


def limit(which: int, value: int, world: World, settings: Settings) -> None:
    settings.before_exec = lambda: resource.setrlimit(which, (value, value))


def closed(descriptor: int, world: World, settings: Settings) -> None:
    settings.before_exec = lambda: os.close(descriptor)


def full(stream: str, world: World, settings: Settings) -> None:
    settings.outputs[stream] = os.open("/dev/full", os.O_WRONLY)


def unread(stream: str, world: World, settings: Settings) -> None:
    reader, settings.outputs[stream] = os.pipe()
    os.close(reader)


def _codes(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


def _signals() -> list[Fault]:
    made = []
    for number, weight in ((signal.SIGINT, 3), (signal.SIGTERM, 3), (signal.SIGHUP, 2)):
        ended, name = frozenset(SIGNAL_CODES[number]), number.name.removeprefix("SIG")
        made += [
            Fault(f"{name}:command", ended, partial(send, number=number), weight=weight),
            Fault(f"{name}:group", ended | {2}, partial(send, number=number, group=True), weight=weight),
            Fault(f"{name}:twice", ended | {2}, partial(send_twice, number=number), weight=1, cleans_up=False),
            Fault(f"{name}:child", _codes(2), partial(send_to_child, number=number), needs="child"),
        ]
    made += [
        Fault("KILL:command", _codes(-9), partial(send, number=signal.SIGKILL), weight=4, cleans_up=False),
        Fault("KILL:group", _codes(-9), partial(send, number=signal.SIGKILL, group=True), cleans_up=False),
        Fault("KILL:child", _codes(2), partial(send_to_child, number=signal.SIGKILL), weight=3, needs="child"),
        Fault("QUIT:command", _codes(-3, 131), partial(send, number=signal.SIGQUIT), cleans_up=False),
        Fault("PIPE:command", _codes(141, -13, 2), partial(send, number=signal.SIGPIPE)),
        Fault("PIPE:group", _codes(141, -13, 2), partial(send, number=signal.SIGPIPE, group=True)),
        Fault("STOP:command", _codes(2), partial(stop_for_a_while, partial(send)), weight=1),
        Fault("STOP:group", _codes(2), partial(stop_for_a_while, partial(send, group=True)), weight=0.5),
    ]
    vmm_fault = partial(Fault, needs="vmm", weight=3)
    made += [
        vmm_fault("KILL:vmm", _codes(2), partial(send_to_vmm, number=signal.SIGKILL)),
        vmm_fault("TERM:vmm", _codes(2), partial(send_to_vmm, number=signal.SIGTERM)),
        vmm_fault("STOP:vmm", _codes(2), stop_vmm),
        vmm_fault("KILL:sshd", _codes(2), kill_sshd),
    ]
    return made


REQUIRED_VMMS = [program.name for program in vmm_programs().values() if program.required]
TOOLS = ("e2fsck", "debugfs", "bwrap", *REQUIRED_VMMS, "setpriv", "tar", "nft", "ip", "ssh-keygen", "fallocate")
DEVICE_NAMES = ("kvm", "net/tun", "null", "urandom", "shm")
LIMITS = {
    "files": (resource.RLIMIT_NOFILE, 24),
    "file-size": (resource.RLIMIT_FSIZE, 1 << 20),
    "memory": (resource.RLIMIT_AS, 256 << 20),
    "stack": (resource.RLIMIT_STACK, 256 << 10),
}


def _conditions() -> list[Fault]:
    two = _codes(2)
    return [
        Fault("disk:full", two, fill_disk, undo=empty_disk, weight=5),
        Fault("disk:read-only", two, make_read_only, undo=make_writable, weight=3),
        Fault("power:cut", _codes(-9), cut_power, undo=start_after_power_cut, weight=5, cleans_up=False, on_ext4=True),
        *(Fault(f"no-tool:{name}", two, setting=partial(without_tool, name), weight=0.4) for name in TOOLS),
        *(
            Fault(f"no-device:{name}", two, setting=partial(without_device, name), undo=with_all_devices, weight=0.5)
            for name in DEVICE_NAMES
        ),
        *(Fault(f"limit:{name}", two, setting=partial(limit, *value), weight=0.8) for name, value in LIMITS.items()),
        Fault("stdout:closed", two, setting=partial(closed, 1), weight=0.6, output=False),
        Fault("stderr:closed", two, setting=partial(closed, 2), weight=0.6),
        Fault("stdin:closed", two, setting=partial(closed, 0), weight=0.6),
        Fault("stdout:full", two, setting=partial(full, "stdout"), weight=0.8, output=False),
        Fault("stderr:full", two, setting=partial(full, "stderr"), weight=0.5),
        Fault("stdout:unread", _codes(2, 141), setting=partial(unread, "stdout"), weight=0.8, output=False),
    ]


NONE = Fault("none", frozenset(), do=lambda running: None, weight=0)
FAULTS = {fault.name: fault for fault in (NONE, *_signals(), *_conditions())}
