"""`hornetos capacity`: how many VMs a host holds, from the memory that a run measured."""

from __future__ import annotations

from typing import Annotated

import typer

from hornet_cli.context import settings
from hornet_cli.printer import say, show
from hornet_cli.report import RunName, run_directory


def capacity(
    ctx: typer.Context,
    run: RunName = "latest",
    memory_mb: Annotated[float | None, typer.Option(help="The host's memory in MB (default: the spec's).")] = None,
    reserved_mb: Annotated[
        float | None, typer.Option(help="Memory that the host reserves, in MB (default: the spec's).")
    ] = None,
    work_mb: Annotated[
        list[float] | None, typer.Option(help="Memory that an agent's work adds to its VM, in MB; repeatable.")
    ] = None,
) -> None:
    """Plan VMs per host. Exit code 2 if the run has no memory record."""
    from pydantic import ValidationError
    from rich.table import Table

    from hornet.errors import HostError
    from hornet.foreign_file import first_problem
    from hornet.results.density import plans
    from hornet.results.run import load_run
    from hornet.results.verdict import format_significant
    from hornet.spec.measuring import Capacity

    mine = settings(ctx)
    given = {"host_memory_mb": memory_mb, "host_reserved_mb": reserved_mb, "work_mb": work_mb or None}
    changes = {key: value for key, value in given.items() if value is not None}
    try:
        host = Capacity.model_validate({**mine.spec.capacity.model_dump(), **changes})
    except ValidationError as error:
        raise typer.BadParameter(first_problem(error)) from error
    found = load_run(run_directory(mine.workspace, run))
    made, problems = plans(host, found.records)
    if not made:
        reasons = "; ".join(problems) or "no record of memory per VM"
        raise HostError(f"run {found.name}: {reasons}", "measure with `pytest tests/perf`, then plan again")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("Measured", "private", "shared", *(f"+{work:g} MB" for work in host.work_mb)):
        table.add_column(heading, justify="left" if heading == "Measured" else "right", no_wrap=True)
    for plan in made:
        name = f"{plan.lane}{' (emulated)' if plan.emulated else ''}\n  {plan.label}"
        split = (format_significant(plan.footprint.private_mb), format_significant(plan.footprint.shared_mb))
        table.add_row(name, *split, *(str(count) for _, count in plan.vms))
    say(f"VMs on a host of {host.host_memory_mb:g} MB, {host.host_reserved_mb:g} MB of it reserved for the host,")
    say("by the memory that an agent's work adds to each; private memory per VM and shared memory of all, in MB\n")
    show(table)
