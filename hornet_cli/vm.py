"""`hornetos vm`: VMs to use by hand. Start one and leave it running, log in, read its console, end it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import VMError
from hornet.host.facts import require_root
from hornet_cli.context import Settings, settings
from hornet_cli.fleet import HostNetwork, LaneName, SnapshotName, choose_lane, fleet, snapshot_directory
from hornet_cli.printer import AsJson, say, say_json
from hornet_cli.subprocesses import INTERRUPTED_WITH_US

if TYPE_CHECKING:
    from hornet.spec.lane import Lane
    from hornet.vm.fleet import VM, Fleet
    from hornet.vm.state import VMState

vm = typer.Typer(
    help="""VMs to use by hand: start one, log in, read its console, end it.

    `up` and `restore` leave a VM running in its own network namespace after the command has ended, and print the
    commands for it. So does `--keep-vms` of a test run, for the VMs of failed tests. `down` ends such VMs. `list`
    shows these and the VMs of runs in progress.

    A VM is named by its number, as in vm1. All VMs have the address 10.0.0.2, each in its own namespace.""",
    no_args_is_help=True,
)

DOWN_TIMEOUT_S = 20.0
FOLLOW_S = 0.2
Name = Annotated[str, typer.Argument(help="A running VM of this HORNET_HOME, as in vm1: `hornetos vm list`.")]
Hold = Annotated[bool, typer.Option("--hold", hidden=True, help="Hold the VM: the background process of a command.")]


@vm.command()
def up(
    ctx: typer.Context,
    tier: Annotated[str, typer.Option(help="The image to build or reuse: micro, standard or dev.")] = "standard",
    image: Annotated[Path | None, typer.Option(help="Boot a copy of this root file system instead.")] = None,
    kernel: Annotated[Path | None, typer.Option(help="Boot this vmlinux instead of the built one.")] = None,
    lane: LaneName = None,
    host_network: HostNetwork = False,
    hold: Hold = False,
) -> None:
    """Boot an image and leave the VM running: `hornetos vm up --tier micro`.

    Kernel and image are built if they are missing. The VM writes to its own copy of the image. It has no way out of
    its namespace, unless you use --host-network.
    """

    def start(vms: Fleet) -> VM:
        return vms.boot(paths[0], paths[1], root=mine.spec.root_of(tier), ready_signal=image is None)

    mine = _checked(ctx)
    if not hold:
        return _start_in_background(mine)
    paths = kernel_and_image(mine, tier, kernel, image)
    return _hold(mine, choose_lane(mine, paths[0], lane), start, host_network=host_network)


@vm.command()
def restore(ctx: typer.Context, snapshot: SnapshotName, host_network: HostNetwork = False, hold: Hold = False) -> None:
    """Restore a snapshot and leave the VM running: `hornetos vm restore hornetos-production`.

    The snapshot is checked first and never changed: the VM has its own copy of the disk.
    """
    from hornet.snapshot.bundle import open_bundle
    from hornet.vmm.registry import lane_named

    mine = _checked(ctx)
    bundle = open_bundle(snapshot_directory(mine, snapshot), mine.spec.snapshot)
    if not hold:
        return _start_in_background(mine)
    lane = lane_named(bundle.manifest().origin.lane)
    return _hold(mine, lane, lambda vms: vms.restore(bundle), host_network=host_network)


@vm.command()
def ssh(
    ctx: typer.Context,
    name: Name,
    command: Annotated[list[str] | None, typer.Argument(help="Run this instead of a shell; write it after --.")] = None,
) -> None:
    """Log in to a guest as root, or run a command in it: `hornetos vm ssh vm1 -- dmesg`.

    The exit code is ssh's: that of the command, or 255 if the guest cannot be reached.
    """
    mine = _checked(ctx)
    words = [*_ssh_words(mine, _find(mine, name)), *(command or [])]
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and ssh would inherit that
    os.execvp(words[0], words)


@vm.command()
def console(
    ctx: typer.Context,
    name: Name,
    follow: Annotated[bool, typer.Option(help="Go on until the VM ends or you press Ctrl-C.")] = True,
) -> None:
    """Print a guest's serial console from its first line, and follow it. It takes no input: use `ssh` for that."""
    from hornet.vm.evidence import CONSOLE_FILE

    mine = _checked(ctx)
    state = _find(mine, name)
    with (_directory(mine, name) / CONSOLE_FILE).open("rb") as stream:
        while True:
            if text := stream.read().decode("utf-8", "replace").replace("\r", ""):
                sys.stdout.write(text)
                sys.stdout.flush()
            if not (follow and _still_runs(mine, name, state)):
                return
            time.sleep(FOLLOW_S)
            # The file is cut in the middle when it has grown too large.
            stream.seek(min(stream.tell(), os.fstat(stream.fileno()).st_size))


@vm.command()
def logs(ctx: typer.Context, name: Name) -> None:
    """Print the log of a VM's VMM, and the requests to its API with the answers."""
    from hornet.vm.evidence import LOG_FILE
    from hornet.vmm.api_log import API_FILE

    mine = _checked(ctx)
    _find(mine, name)
    for file in (LOG_FILE, API_FILE):
        path = _directory(mine, name) / file
        say(f"--- {path}")
        say(path.read_text(encoding="utf-8", errors="replace").rstrip("\n") or "(empty)")


@vm.command("list")
def list_vms(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the running VMs of this HORNET_HOME: those started by hand, and those of runs in progress."""
    from hornet.vm.state import running_vms

    mine = _checked(ctx)
    found = running_vms(mine.workspace)
    if as_json:
        say_json(
            [
                {"name": name, **state.model_dump(), "ssh": shlex.join(_ssh_words(mine, state))}
                for name, state in found.items()
            ]
        )
    else:
        say("\n".join(_line(name, state) for name, state in found.items()) or "no VM runs")


@vm.command()
def down(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="VMs, as in vm1 vm2.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every VM that `up`, `restore` or --keep-vms left.")] = False,
) -> None:
    """End VMs that `up`, `restore` or --keep-vms left running, with their networks and disks.

    It refuses a VM of a run in progress: end that run instead.
    """
    from hornet.vm.state import running_vms

    mine = _checked(ctx)
    if bool(names) == every:
        raise typer.BadParameter("name VMs, or use --all")
    for_hands = {name: state for name, state in running_vms(mine.workspace).items() if state.kept}
    chosen = for_hands if every else {name: _find(mine, name) for name in dict.fromkeys(names or [])}
    for name, state in chosen.items():
        if not state.kept:
            raise VMError(
                f"VM {name}: belongs to process {state.owner_pid}, a run in progress",
                f"end that run: kill -INT {state.owner_pid}",
            )
    for name, state in chosen.items():
        _end(mine, name, state)
        say(f"{name}: ended")
    if not chosen:
        say("no VM to end")


def _checked(ctx: typer.Context) -> Settings:
    require_root()
    return settings(ctx)


def kernel_and_image(mine: Settings, tier: str, kernel: Path | None, image: Path | None) -> tuple[Path, Path]:
    """The given ones, and what is built for those not given."""
    from builders.kernel import build_kernel
    from builders.rootfs import build_rootfs
    from hornet.formats.kernel_file import require_vmlinux

    mine.spec.tier(tier)
    for given in (kernel, image):
        if given and not given.is_file():
            raise VMError(f"{given}: no such file", "name a vmlinux with --kernel, an ext4 file with --image")
    return (
        require_vmlinux(kernel) if kernel else build_kernel(mine.spec, mine.workspace, mine.progress).vmlinux,
        image or build_rootfs(mine.spec, mine.workspace, mine.progress, tier=tier).image,
    )


def _start_in_background(mine: Settings) -> None:
    """Run this command again as the process that holds the VM, and wait until the VM is up.

    Raises Exit with that process's exit code if it ended instead.
    """
    from hornet.vm.state import running_vms

    words = [*INTERRUPTED_WITH_US, sys.executable, "-m", "hornet_cli", *sys.argv[1:], "--hold"]
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        for line in process.stdout or ():
            say(line.rstrip("\n"))
        # It closes its output when the VM is up, or when it ends.
        if process.pid not in [state.owner_pid for state in running_vms(mine.workspace).values()]:
            raise typer.Exit(process.wait())
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _hold(mine: Settings, lane: Lane, start: Callable[[Fleet], VM], *, host_network: bool) -> None:
    from hornet.vm.holding import detach, hold_kept, how_to_enter

    with fleet(mine, lane, host_network=host_network) as vms:
        started = start(vms)
        vms.keep(started, "hornetos vm")
        for line in how_to_enter([started]):
            say(line)
        detach()
        hold_kept()


def _find(mine: Settings, name: str) -> VMState:
    """The state of a running VM. Raises VMError that names the running ones."""
    from hornet.vm.state import running_vms

    found = running_vms(mine.workspace)
    if name not in found:
        raise VMError(
            f"VM {name}: no such VM runs", f"running VMs of {mine.workspace.root}: {', '.join(found) or 'none'}"
        )
    return found[name]


def _directory(mine: Settings, name: str) -> Path:
    from hornet.network.ids import vms_directory

    return vms_directory(mine.workspace) / name


def _still_runs(mine: Settings, name: str, state: VMState) -> bool:
    from hornet.vm.state import STATE_FILE, vmm_runs

    try:
        return vmm_runs(_directory(mine, name) / STATE_FILE, state)
    except OSError:
        return False


def _ssh_words(mine: Settings, state: VMState) -> list[str]:
    from hornet.vm.holding import ssh_command

    return ssh_command(state.namespace, state.ssh_key, str(mine.spec.network.guest_address.ip))


def _line(name: str, state: VMState) -> str:
    origin = f"restored from {Path(state.snapshot).name}" if state.snapshot else "booted"
    left_by = f"left by {state.kept}" if state.kept else f"used by process {state.owner_pid}, a run in progress"
    return f"{name}  {state.lane}  VMM {state.pid}  {state.namespace}  {origin}  {left_by}"


def _end(mine: Settings, name: str, state: VMState) -> None:
    """End a VM's VMM; the process that holds the VM then removes the rest. Raises VMError if it does not."""
    os.kill(state.pid, signal.SIGKILL)
    deadline_s = time.monotonic() + DOWN_TIMEOUT_S
    while _directory(mine, name).exists():
        if time.monotonic() > deadline_s:
            raise VMError(
                f"VM {name}: process {state.owner_pid} did not remove it within {DOWN_TIMEOUT_S:g} s",
                f"end that process: kill {state.owner_pid}",
            )
        time.sleep(FOLLOW_S)
