"""What a command judges a run by: the specification, policy and waivers of the run itself, or those of the options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import Settings
from hornet_cli.printer import say

if TYPE_CHECKING:
    from hornet.results.gate import Decision, Demands
    from hornet.results.run import Run
    from hornet.spec.model import Spec

PolicyOption = Annotated[
    Path | None, typer.Option(help="A TOML file with what a release demands (docs/policy.md); default: the run's own.")
]
WaiversOption = Annotated[
    Path | None, typer.Option(help="A TOML file with accepted failures (docs/policy.md); default: the run's own.")
]
RequireKvm = Annotated[
    bool, typer.Option("--require-kvm", help="Fail if anything that needs KVM was not judged in a KVM lane.")
]


def demands_on(directory: Path, policy: Path | None, waivers: Path | None, *, require_kvm: bool) -> Demands:
    """The demands on a run. Without an option, those that its directory holds count.

    Raises ForeignFileError for a file that can't be read or has an unknown key.
    """
    from hornet.results.gate import Demands
    from hornet.results.policy import POLICY_FILE, Policy, read_policy
    from hornet.results.waivers import WAIVERS_FILE, read_waivers
    from hornet.spec.requirements import load_requirements

    policy = policy or _kept(directory / POLICY_FILE)
    waivers = waivers or _kept(directory / WAIVERS_FILE)
    found = Demands(
        load_requirements(),
        read_policy(policy) if policy else Policy(),
        read_waivers(waivers) if waivers else {},
    )
    if require_kvm:
        return replace(found, policy=found.policy.model_copy(update={"require_kvm": True}))
    return found


def _kept(path: Path) -> Path | None:
    return path if path.exists() else None


def spec_of(mine: Settings, run: Run) -> Spec:
    """The specification by which a run is judged: that of the options if any was given, else the run's own."""
    given = mine.spec_path or mine.overlays
    return mine.spec if given else run.spec() or mine.spec


def show_decision(run: Run, decision: Decision) -> None:
    """One line for each reason, then the decision."""
    from hornet.results.rerun import ran_again

    for label, sentence in ran_again(run):
        say(f"{label}: {sentence}")
    for heading, sentences in (
        ("failed", decision.failures),
        ("not judged", decision.unjudged),
        ("left out: needs KVM", decision.left_out),
        ("waived", [f"{row.id}: {row.reason}" for row in decision.waived]),
        ("remark", decision.remarks),
        ("missing from the run", [problem for problem in run.problems if problem not in run.lost]),
    ):
        for sentence in sentences:
            say(f"{heading}: {sentence}")
    say(f"run {run.name} {decision.headline}")


def show_quick(run: Run, decision: Decision) -> None:
    """The decision on a quick run: what it found, and in one line what it left out."""
    from hornet.results.collected import without_result

    ran, suites = {case.test for case in run.cases}, {case.suite for case in run.cases}
    without = {test.partition("::")[0] for test in without_result(run.collected, ran)}
    modules = [module for module, tests in run.collected.items() if not tests or module in without]
    # A suite of which nothing ran is named once, not by each of its modules.
    left_out = dict.fromkeys(
        module if module.partition("/")[0] in suites else module.partition("/")[0] for module in modules
    )
    _show_failed(run)
    say(f"run {run.name} {decision.headline}")
    say(f"quick: {len(ran)} tests ran; left out, in whole or in part: {', '.join(left_out) or 'nothing'}")
    say("quick: no release without a complete run: hornetos run")


def show_rerun(run: Run, decision: Decision) -> None:
    """The decision on a run that repeats tests of another: what became of each."""
    from hornet.results.rerun import ran_again

    _show_failed(run)
    for label, sentence in ran_again(run):
        say(f"{label}: {sentence}")
    say(f"run {run.name} {decision.headline}")
    say("rerun: no release without a complete run: hornetos run")


def _show_failed(run: Run) -> None:
    from hornet.results.outcomes import Result

    for case in run.cases:
        if case.result in (Result.FAILED, Result.ERROR):
            say(f"{case.result}: {case.test}: {case.reason}")
