"""`hornetos compare A B`: is B slower than A? Two kernels, images, snapshots or VMMs, measured side by side."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import HostError
from hornet_cli.context import Settings, settings
from hornet_cli.fleet import LaneName, choose_lane, fleet, snapshot_directory
from hornet_cli.printer import AsJson, say, say_json, show
from hornet_cli.vm import kernel_and_image

if TYPE_CHECKING:
    from hornet.results.interleaved import Row, Sides
    from hornet.scenarios.side_by_side import Measured, Session
    from hornet.spec.lane import Lane
    from hornet.spec.measuring import Comparing
    from hornet.vm.fleet import Fleet
    from reports.comparison import ComparisonFile

KERNEL, IMAGE, SNAPSHOT = "kernel", "image", "snapshot"
# A median and a tail of the total and of each phase, at most.
MOST_ROWS = {KERNEL: 8, IMAGE: 8, SNAPSHOT: 32}
SEED_BITS = 32


@dataclass(frozen=True)
class Subject:
    """What is compared: its kind, its file or directory, and boot arguments beyond those of the machine.

    vmm: the program that runs it; None: the host's own.
    """

    kind: str
    path: Path
    boot_args: str = ""
    vmm: Path | None = None


def compare(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(help="A vmlinux, a root file system (ext4), or a snapshot.")],
    b: Annotated[str | None, typer.Argument(help="Another of the same kind.")] = None,
    aa: Annotated[bool, typer.Option("--aa", help="Compare A with itself, and count false alarms.")] = False,
    boot_args_b: Annotated[str, typer.Option(help="Boot arguments that only B gets; without B, A is B too.")] = "",
    vmm_b: Annotated[
        Path | None, typer.Option(help="The lane's VMM for B only, below /usr for QEMU; without B, A is B too.")
    ] = None,
    blocks: Annotated[int | None, typer.Option(min=2, help="Sessions of each side (default: of the spec).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Repeats the order and the answer (default: random).")] = None,
    tier: Annotated[str, typer.Option(help="The image with which kernels are compared.")] = "standard",
    lane: LaneName = None,
    as_json: AsJson = False,
) -> None:
    """Measure A and B in turn, in random order, and say whether B is worse: exit code 0 if not, 1 if so.

    Kernels and images are booted, snapshots restored. Emulated guests are compared by their instructions, others by
    time. Exit code 2 if it could not be measured.
    """
    from hornet.results.compare import Change

    mine = settings(ctx)
    if aa == (b is not None or bool(boot_args_b) or vmm_b is not None):
        raise HostError(
            "compare: expected either --aa, or B, or --boot-args-b, or --vmm-b",
            "hornetos compare A B, or hornetos compare A --aa",
        )
    first, second = _subjects(mine, a, a if b is None else b, boot_args_b)
    subjects = (first, replace(second, vmm=vmm_b))
    plan = mine.spec.compare.model_copy(update={"blocks": blocks} if blocks else {})
    _require_enough(plan, MOST_ROWS[subjects[0].kind])
    drawn = secrets.randbits(SEED_BITS) if seed is None else seed
    found = _measure(mine, subjects, plan, drawn, lane, tier, aa=aa)
    if as_json:
        from reports.comparison import as_data

        say_json(as_data(found))
    else:
        _show(found)
    worse = [row for row in found.rows if row.change is Change.WORSE or (aa and row.change is Change.BETTER)]
    raise typer.Exit(1 if worse else 0)


def _duration_s(session: Session) -> float:
    began = time.monotonic()
    session()
    return time.monotonic() - began


def _require_enough(plan: Comparing, rows: int) -> None:
    from hornet.results.interleaved import blocks_needed

    needed = blocks_needed(rows, plan.error_rate)
    if plan.blocks < needed:
        raise HostError(
            f"{plan.blocks} blocks: nothing could be found with an error rate of {plan.error_rate:g} over up to "
            f"{rows} rows, expected at least {needed}",
            f"use --blocks {needed} or more",
        )


def _subjects(mine: Settings, a: str, b: str, boot_args_b: str) -> tuple[Subject, Subject]:
    """A and B. Raises HostError for two kinds, and for boot arguments of a snapshot."""
    first, second = _subject(mine, a), replace(_subject(mine, b), boot_args=boot_args_b)
    if first.kind != second.kind:
        raise HostError(
            f"{a} is a {first.kind}, {b} a {second.kind}: expected two of the same kind",
            "name two kernels, two images or two snapshots",
        )
    if boot_args_b and second.kind == SNAPSHOT:
        raise HostError(f"--boot-args-b {boot_args_b!r}: {b} is a snapshot, which does not boot", "name a kernel")
    return first, second


def _subject(mine: Settings, name: str) -> Subject:
    """What a name on the command line means. Raises HornetError for none of the three."""
    from hornet.formats.kernel_file import ELF_MAGIC, require_vmlinux

    path = Path(name)
    if not path.is_file():
        return Subject(SNAPSHOT, snapshot_directory(mine, name).resolve())
    with path.open("rb") as stream:
        is_kernel = stream.read(len(ELF_MAGIC)) == ELF_MAGIC
    return Subject(KERNEL, require_vmlinux(path).resolve()) if is_kernel else Subject(IMAGE, path.resolve())


def _measure(
    mine: Settings,
    subjects: tuple[Subject, Subject],
    plan: Comparing,
    seed: int,
    lane_name: str | None,
    tier: str,
    *,
    aa: bool,
) -> ComparisonFile:
    from hornet.host.facts import fingerprint, require_root
    from hornet.results.interleaved import compare_sides, false_alarm_rate
    from hornet.scenarios.side_by_side import interleave
    from hornet.vmm.registry import using_program, vmm_programs
    from reports.comparison import SCHEMA, ComparisonFile

    require_root()
    lane, session_of = _sessions(mine, subjects[0], plan, lane_name, tier)
    counts = lane.accelerator == "tcg"
    load, began = os.getloadavg()[0] / (os.cpu_count() or 1), time.monotonic()
    with fleet(mine, lane, count_instructions=counts) as vms:
        a, b = (using_program(lane, subject.vmm)(session_of(vms, subject)) for subject in subjects)
        warm_up_s = _duration_s(a)
        minutes = warm_up_s * plan.blocks * 2 / 60
        mine.progress.say(
            f"plan: {plan.blocks} blocks of A and B in {lane}, seed {seed}: about {minutes:.1f} min "
            f"(a first session of A, which is not compared, took {warm_up_s:.1f} s)"
        )
        measured = interleave(a, b, plan.blocks, seed, mine.progress.say)
    quantities = _sides(measured, counts=counts)
    rate = false_alarm_rate(quantities, plan, seed) if aa else None
    return ComparisonFile(
        schema=SCHEMA,
        kind=subjects[0].kind,
        a=str(subjects[0].path),
        b=str(subjects[1].path),
        a_sha256=_sha256(mine, subjects[0]),
        b_sha256=_sha256(mine, subjects[1]),
        boot_args_b=subjects[1].boot_args,
        vmm_b=str(subjects[1].vmm or ""),
        lane=str(lane),
        seed=seed,
        blocks=plan.blocks,
        error_rate=plan.error_rate,
        power=plan.power,
        duration_s=round(time.monotonic() - began, 1),
        load_per_core=round(load, 2),
        host=fingerprint(vmm_programs()),
        rows=compare_sides(quantities, plan, seed),
        false_alarm_rate=rate,
    )


def _sessions(
    mine: Settings, first: Subject, plan: Comparing, lane: str | None, tier: str
) -> tuple[Lane, Callable[[Fleet, Subject], Session]]:
    """The lane, and what makes the sessions of a subject in it. Builds the image for kernels, the kernel for images."""
    from hornet.scenarios.side_by_side import boot_once, restore_often
    from hornet.snapshot.bundle import open_bundle
    from hornet.vmm.registry import lane_named

    def restoring(vms: Fleet, subject: Subject) -> Session:
        bundle = open_bundle(subject.path, mine.spec.snapshot)
        return partial(restore_often, vms, bundle, plan.restores, mine.spec.machine.ssh_timeout_s)

    def booting(vms: Fleet, subject: Subject) -> Session:
        pair = (subject.path, image) if subject.kind == KERNEL else (kernel, subject.path)
        return partial(boot_once, vms, partial(vms.boot, *pair, extra_boot_args=subject.boot_args))

    if first.kind == SNAPSHOT:
        made_in = open_bundle(first.path, mine.spec.snapshot).manifest().origin.lane
        if lane not in (None, made_in):
            raise HostError(f"{first.path}: taken in lane {made_in}, --lane says {lane}", f"use --lane {made_in}")
        return lane_named(made_in), restoring
    given = {first.kind: first.path}
    kernel, image = kernel_and_image(mine, tier, given.get(KERNEL), given.get(IMAGE))
    return choose_lane(mine, kernel, lane), booting


def _sides(measured: Measured, *, counts: bool) -> dict[str, Sides]:
    """Both sides of the total and of each part, with their unit."""
    import numpy as np

    from hornet.results.compare import INSTRUCTIONS, MIN_FACTOR, MIN_INSTRUCTIONS_FACTOR
    from hornet.results.interleaved import Sides
    from hornet.scenarios.side_by_side import samples_by_part

    unit, factor = (INSTRUCTIONS, MIN_INSTRUCTIONS_FACTOR) if counts else ("ms", MIN_FACTOR)
    a, b = samples_by_part(measured.a), samples_by_part(measured.b)
    return {part: Sides(unit, factor, np.array(a[part]), np.array(b[part])) for part in a}


def _sha256(mine: Settings, subject: Subject) -> str:
    from hornet.host.artifact_store import file_sha256
    from hornet.snapshot.bundle import open_bundle

    if subject.kind == SNAPSHOT:
        return open_bundle(subject.path, mine.spec.snapshot).manifest().self_sha256
    return file_sha256(subject.path)


def _show(found: ComparisonFile) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("what", "A", "B", "B / A", "95 % interval", "p (Holm)", "detectable", "result"):
        table.add_column(heading, overflow="fold")
    for row in found.rows:
        table.add_row(*_cells(row))
    show(table)
    say(f"\n{found.kind}s in {found.lane}: {found.blocks} blocks, seed {found.seed}, {found.duration_s:.0f} s")
    if found.false_alarm_rate is not None:
        say(f"false alarms, measured: {found.false_alarm_rate:.1%}; at most {found.error_rate:.0%} was promised")


def _cells(row: Row) -> tuple[str, ...]:
    from hornet.results.verdict import format_significant

    return (
        f"{row.name}, p{row.percentile}",
        f"{format_significant(row.a)} {row.unit}",
        format_significant(row.b),
        f"{row.ratio:.4f}",
        f"{row.low:.4f} … {row.high:.4f}",
        f"{row.adjusted:.2g}",
        f"{(row.detectable - 1) * 100:.1f} %",
        str(row.change),
    )
