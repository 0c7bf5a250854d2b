"""`hornetos test`: the project's own tests, through tox."""

from __future__ import annotations

import sys

import typer

from hornet_cli.subprocesses import call


def test(ctx: typer.Context) -> None:
    """Run the project's own tests with tox: lint, types, self-tests, and conformance and network on the built image.

    Arguments go to tox: `hornetos test -e lint,selftest`; what follows `--` goes to pytest.
    """
    raise typer.Exit(call([sys.executable, "-m", "tox", "run", *ctx.args]))
