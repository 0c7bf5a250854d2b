"""`hornetos test`: the project's own tests, through tox."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from hornet.host.owned import work_directory
from hornet.installation import require_checkout
from hornet_cli.context import settings
from hornet_cli.subprocesses import call


class PassOn(TyperCommand):
    """A command that hands all its arguments on, `--` too: click would take the first one for itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            args = [*args[: args.index("--")], "--", *args[args.index("--") :]]
        return super().parse_args(ctx, args)


def test(ctx: typer.Context) -> None:
    """Run the project's own tests with tox: lint, types, self-tests, and conformance and network on the built image.

    Arguments go to tox: `hornetos test -e lint,selftest`; what follows `--` goes to pytest:
    `hornetos test -e guest -- -k interrupted`. Exit code 0 if all pass, 1 if a test fails, 2 if nothing fails but
    something could not be judged.
    """
    require_checkout("hornetos test")
    with work_directory(settings(ctx).workspace.run, "test") as directory:
        results = directory / "results.json"
        code = call([sys.executable, "-m", "tox", "run", f"--result-json={results}", *ctx.args])
        raise typer.Exit(0 if code == 0 else _exit_code(results))


def _exit_code(results: Path) -> int:
    """tox's own exit code of several environments says nothing: each command's does, and 1 is a verdict in all."""
    if not results.exists():
        return 2
    environments = json.loads(results.read_text())["testenvs"].values()
    codes = [command["retcode"] for environment in environments for command in environment.get("test", ())]
    return 1 if 1 in codes else 2
