"""`hornetos gate`: may this run's images be released? For CI: the exit code is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import settings
from hornet_cli.printer import say
from hornet_cli.report import RunName, run_directory

if TYPE_CHECKING:
    from hornet.results.gate import Decision
    from hornet.results.run import Run


def gate(
    ctx: typer.Context,
    run: RunName = "latest",
    require_kvm: Annotated[
        bool, typer.Option("--require-kvm", help="Fail if anything that needs KVM was not judged in a KVM lane.")
    ] = False,
) -> None:
    """Decide on a run: exit code 0 if conformance passed and every target is met, 1 if not, 2 if not judged."""
    from hornet.results.gate import decide
    from hornet.results.run import load_run

    mine = settings(ctx)
    found = load_run(run_directory(mine.workspace, run))
    decision = decide(mine.spec, found, require_kvm=require_kvm)
    show_decision(found, decision, require_kvm=require_kvm)
    raise typer.Exit(decision.outcome.exit_code)


def show_decision(found: Run, decision: Decision, *, require_kvm: bool) -> None:
    """One line for each reason, then the decision."""
    left_out = [] if require_kvm else decision.emulated
    for heading, sentences in (
        ("failed", decision.failures),
        ("not judged", decision.unjudged),
        ("left out: needs KVM", left_out),
        ("accepted by the spec", [f"{case.test}: {case.message}" for case in found.cases if case.accepted]),
        ("missing from the run", found.problems),
    ):
        for sentence in sentences:
            say(f"{heading}: {sentence}")
    say(f"gate: run {found.name} {decision.outcome}")
