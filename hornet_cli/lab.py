"""`hornetos lab`: commands in an emulated host with KVM (docs/lab.md)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import HostError
from hornet.host.facts import require_root
from hornet_cli.context import Settings, settings
from hornet_cli.printer import say

if TYPE_CHECKING:
    from lab.session import Ended

lab = typer.Typer(
    help="""Run commands in an emulated host with KVM, on a machine without one.

    QEMU emulates a processor with AMD's virtualization. The emulated host has this machine's files, read-only
    underneath: what a command writes stays in its memory and is gone afterwards, except new run directories, which are
    copied to HORNET_HOME/reports. It has no network. Verdicts on functions count; times and densities never do.""",
    no_args_is_help=True,
)
TimeLimit = Annotated[
    float | None, typer.Option(min=1, help="Seconds for the command (default: lab.time_limit_s of the spec).")
]


@lab.command()
def run(
    ctx: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The command and its arguments; write it after --.")],
    time_limit: TimeLimit = None,
) -> None:
    """Run a command in the emulated host: `hornetos lab run -- hornetos host`.

    It has this directory and this environment, and nothing on its standard input. The exit code is the command's; 143
    if the time limit ended it. 2 if the lab itself failed.
    """
    end_with(run_command(settings(ctx), command, time_limit_s=time_limit))


@lab.command()
def shell(ctx: typer.Context) -> None:
    """Open a shell in the emulated host; `exit` ends both."""
    if not (sys.stdin.isatty() and os.isatty(sys.stdout.fileno())):
        raise HostError("hornetos lab shell: no terminal", "use `hornetos lab run -- COMMAND`")
    end_with(run_command(settings(ctx), [os.environ.get("SHELL", "/bin/sh")], terminal=True))


@lab.command()
def status(ctx: typer.Context) -> None:
    """Show what the lab would use, and which labs run."""
    import json

    import psutil

    from builders.apt.packages import VERSIONS_FILE
    from hornet.host.artifact_store import Store
    from hornet.host.owned import MARK, is_owned
    from lab.components import built_components
    from lab.session import QEMU_MIB, WORK_NAME

    mine = settings(ctx)
    wanted = mine.spec.lab
    parts = built_components(mine.spec, Store(mine.workspace))
    say(f"components: {parts.directory if parts else 'not fetched yet: the first `hornetos lab run` does it'}")
    if parts:
        versions = json.loads((parts.directory / VERSIONS_FILE).read_text())
        say("  " + ", ".join(f"{name} {versions[name]}" for name in wanted.packages if name in versions))
    available_mib = psutil.virtual_memory().available >> 20
    enough = "" if available_mib >= wanted.memory_mib + QEMU_MIB else ": not enough"
    say(f"memory: {wanted.memory_mib + QEMU_MIB} MiB needed, {available_mib} MiB available{enough}")
    found = [path for path in sorted(mine.workspace.run.glob(f"{WORK_NAME}{MARK}*")) if is_owned(path)]
    say("\n".join(f"running: {path}" for path in found) or "no lab runs")


def run_command(
    mine: Settings, command: list[str], *, time_limit_s: float | None = None, terminal: bool = False
) -> Ended:
    """Run a command in the lab. Raises HostError."""
    from lab.session import run_in_lab

    require_root()
    return run_in_lab(mine.spec, mine.workspace, command, mine.progress, time_limit_s=time_limit_s, terminal=terminal)


def end_with(ended: Ended) -> None:
    """End this command with the exit code of the one that ran in the lab."""
    for path in ended.runs:
        say(f"brought back: {path}")
    raise typer.Exit(ended.exit_code)
