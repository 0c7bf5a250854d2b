"""`hornetos`: the commands and the global options. main.py runs them and has the exit codes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hornet import __version__
from hornet.host.artifact_store import OFFLINE
from hornet.host.workspace import Workspace
from hornet.vm.leftovers import remove_leftovers
from hornet.vmm.firecracker.program import VARIABLE, use
from hornet_cli.adopt import adopt
from hornet_cli.baseline import baseline
from hornet_cli.build import build
from hornet_cli.capacity import capacity
from hornet_cli.certify import certify
from hornet_cli.clean import clean
from hornet_cli.compare import compare
from hornet_cli.context import Settings
from hornet_cli.diagnose import diagnose
from hornet_cli.explain import explain
from hornet_cli.ext4 import ext4
from hornet_cli.failures import FAILURES
from hornet_cli.firecracker import firecracker as firecracker_commands
from hornet_cli.fleet_of_hosts import fleet_app
from hornet_cli.gate import gate
from hornet_cli.guide import guide
from hornet_cli.host import host
from hornet_cli.kconfig import kconfig
from hornet_cli.lab import lab
from hornet_cli.learn import learn
from hornet_cli.net import net
from hornet_cli.new_version import new_version
from hornet_cli.printer import say
from hornet_cli.records import records
from hornet_cli.report import report
from hornet_cli.rollback import rollback
from hornet_cli.run import OptionalRun, run
from hornet_cli.runs import runs
from hornet_cli.sbom import sbom
from hornet_cli.schema import schema
from hornet_cli.slim import slim
from hornet_cli.test import PassOn, test
from hornet_cli.trend import trend
from hornet_cli.validate import validate
from hornet_cli.vm import vm

# Arguments that a command hands on as they are.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="hornetos",
    help="Build, boot, snapshot, restore, judge and measure HornetOS microVM images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"hornetos-suite {__version__}")
        raise typer.Exit


@app.callback()
def top(
    ctx: typer.Context,
    spec: Annotated[
        Path | None, typer.Option(help="A file or directory to use as the specification instead of spec/.")
    ] = None,
    overlay: Annotated[
        list[Path] | None, typer.Option(help="A TOML file with a team's own values; repeatable.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", envvar=OFFLINE, help="Download nothing: use what is cached, or fail at once.")
    ] = False,
    firecracker: Annotated[
        Path | None,
        typer.Option(envvar=VARIABLE, metavar="BIN", help="The Firecracker to use, instead of the one on PATH."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the suite's version.")
    ] = False,
) -> None:
    """Build, boot, snapshot, restore, judge and measure HornetOS microVM images."""
    if debug:
        FAILURES.show_everything()
    workspace = Workspace.from_env()
    # Programs that it starts may have another working directory.
    os.environ["HORNET_HOME"] = str(workspace.root)
    if offline:
        os.environ[OFFLINE] = "1"
    if firecracker:
        use(firecracker)
    remove_leftovers(workspace)
    ctx.obj = Settings(workspace, spec, tuple(overlay or ()))


app.command("run", cls=OptionalRun)(run)
app.command("runs")(runs)
app.command("test", cls=PassOn, context_settings=PASS_ON)(test)
app.command("guide")(guide)
app.command("explain")(explain)
app.add_typer(build, name="build")
app.command("slim")(slim)
app.command("host")(host)
app.command("kconfig")(kconfig)
app.command("ext4")(ext4)
app.command("learn")(learn)
app.command("diagnose")(diagnose)
app.command("validate")(validate)
app.command("adopt")(adopt)
app.command("new-version")(new_version)
app.command("rollback")(rollback)
app.command("report")(report)
app.command("trend")(trend)
app.command("schema")(schema)
app.command("sbom")(sbom)
app.command("records")(records)
app.command("compare")(compare)
app.command("gate")(gate)
app.command("certify")(certify)
app.command("capacity")(capacity)
app.command("clean")(clean)
app.add_typer(baseline, name="baseline")
app.add_typer(fleet_app, name="fleet")
app.add_typer(net, name="net")
app.add_typer(vm, name="vm")
app.add_typer(lab, name="lab")
app.add_typer(firecracker_commands, name="firecracker")
