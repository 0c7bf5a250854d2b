"""`make-artifact`: a small build in the real store, with real children, as a command of `hornetos`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from hornet.home import CHECKOUT
from hornet.proc import run
from hornet.store import Store
from hornet_cli.app import app
from hornet_cli.context import settings

try:
    from hornet_cli.main import main
except ImportError:
    from hornet_cli.app import main

STEP_TIMEOUT_S = 60


@app.command("make-artifact")
def make_artifact(ctx: typer.Context) -> None:
    """Pack a tree, wait, unpack it, all in the artifact's work directory."""

    def build(work: Path) -> None:
        log = work / "build.log"
        run(["tar", "-C", CHECKOUT, "-cf", work / "tree.tar", "hornet", "builders"], timeout_s=STEP_TIMEOUT_S, log=log)
        run(["sh", "-c", "sleep 0.3 & sleep 0.3; wait; echo waited"], timeout_s=STEP_TIMEOUT_S, log=log)
        run(["tar", "-C", work, "-xf", work / "tree.tar"], timeout_s=STEP_TIMEOUT_S, log=log)

    made = Store(settings(ctx).home).get_or_build("faults", {"of": "tests/faults"}, build)
    print(f"made {made}", file=sys.stdout)


main()
