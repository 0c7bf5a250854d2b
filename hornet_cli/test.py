"""`hornetos test`: the project's own tests, through tox."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperCommand

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
    `hornetos test -e guest -- -k interrupted`.
    """
    raise typer.Exit(call([sys.executable, "-m", "tox", "run", *ctx.args]))
