"""`hornetos gate`: may this run's images be released? For CI: the exit code is the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet_cli.baseline import baseline_directory
from hornet_cli.context import settings
from hornet_cli.judging import PolicyOption, RequireKvm, WaiversOption, demands_on, show_decision, spec_of
from hornet_cli.printer import AsJson, say_json
from hornet_cli.report import Baseline, RunName, run_directory


def gate(
    ctx: typer.Context,
    run: RunName = "latest",
    require_kvm: RequireKvm = False,
    policy: PolicyOption = None,
    waivers: WaiversOption = None,
    baseline: Baseline = None,
    as_json: AsJson = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML, one test case per requirement.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a summary of one screen as Markdown.")] = None,
    prometheus: Annotated[Path | None, typer.Option(help="Write metrics in Prometheus' text format.")] = None,
) -> None:
    """Decide on a run by its outcomes: exit code 0 if it passed, 1 if it failed, 2 if it could not be judged.

    A requirement without a result is not judged, whatever left it out. The specification, policy and waivers are those
    that the run recorded, unless options name others.
    """
    from hornet.results.gate import decide
    from hornet.results.run import load_run
    from reports import decision as written

    mine = settings(ctx)
    found = load_run(run_directory(mine.workspace, run))
    compared = baseline_directory(mine, baseline)
    before = load_run(compared) if compared else None
    demands = demands_on(found.directory, policy, waivers, require_kvm=require_kvm)
    answer = decide(spec_of(mine, found), found, demands, before)
    for path, text in ((junit, written.as_junit), (markdown, written.as_markdown), (prometheus, written.as_prometheus)):
        if path:
            written.write(path, text(found, answer))
    if as_json:
        say_json(written.as_data(found, answer))
    else:
        show_decision(found, answer)
    raise typer.Exit(answer.answer.exit_code)
