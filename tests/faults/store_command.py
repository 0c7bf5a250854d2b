"""`make-artifact`: a small build in the real store, with real children, as a command of `hornetos`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hornet_cli.main as cli

STEP_TIMEOUT_S = 60


def make_artifact() -> None:
    """Pack a tree, wait, unpack it, all in the artifact's work directory."""
    from hornet.host.artifact_store import Store
    from hornet.host.proc import run
    from hornet.host.workspace import Workspace
    from hornet.installation import SOURCE

    def build(work: Path) -> None:
        log = work / "build.log"
        run(["tar", "-C", SOURCE, "-cf", work / "tree.tar", "hornet", "builders"], timeout_s=STEP_TIMEOUT_S, log=log)
        run(["sh", "-c", "sleep 0.3 & sleep 0.3; wait; echo waited"], timeout_s=STEP_TIMEOUT_S, log=log)
        run(["tar", "-C", work, "-xf", work / "tree.tar"], timeout_s=STEP_TIMEOUT_S, log=log)

    made = Store(Workspace.from_env()).get_or_build("faults", {"of": "tests/faults"}, build)
    print(f"made {made}")


def _with_this_command(words: Sequence[str]) -> int:
    from hornet_cli.app import app

    app.command("make-artifact")(make_artifact)
    return invoke(words)


invoke, cli._invoke = cli._invoke, _with_this_command
cli.main()
