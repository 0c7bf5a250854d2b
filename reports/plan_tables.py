"""The tables of a capacity plan, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hornet.capacity.fleet import Answer
from hornet.capacity.guide_claim import VM_MEMORY_MIB, ClaimRow
from hornet.capacity.levers import Effect

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_EFFECTS = 8
# Larger values are shown without decimals.
WHOLE_FROM = 1000
# Its words are short, and never broken.
KNOWN = "Known"


@dataclass(frozen=True)
class PlanTable:
    """A table as text. numbers: the columns that are aligned to the right."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: frozenset[int] = frozenset()


def tables(plan: Answer, claim: Sequence[ClaimRow]) -> list[PlanTable]:
    """Those that have rows, in the order in which a reader needs them."""
    made = [
        *_bounds(plan),
        _what_ifs(plan),
        _effects("What matters most for the VMs of a host", plan.sensitivity.together),
        _effects("What matters most for the VMs that memory allows", plan.sensitivity.memory),
        _claim(claim),
        _inputs(plan),
    ]
    return [table for table in made if table.rows]


def as_rich(table: PlanTable) -> Table:
    """The table for the terminal."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="dim")
    for index, heading in enumerate(table.headings):
        shown.add_column(heading, justify="right" if index in table.numbers else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def _bounds(plan: Answer) -> list[PlanTable]:
    made = []
    for found in plan.types:
        host = f", {found.host.name}" if len(plan.types) > 1 else ""
        rows = [(bound.title, f"{bound.vms:,}", bound.reason, bound.kind) for bound in found.plan.bounds]
        headings = ("Resource", "VMs", "Why", KNOWN)
        made.append(PlanTable(f"What bounds the VMs of a host{host}", headings, rows, frozenset({1})))
    return made


def _what_ifs(plan: Answer) -> PlanTable:
    rows = [(it.changes, f"{it.vms:,}", f"{it.hosts:,}" if it.hosts else "–", it.binding) for it in plan.what_ifs]
    return PlanTable("What if", ("Change", "VMs per host", "Hosts", "Binds"), rows, frozenset({1, 2}))


def _effects(title: str, effects: Sequence[Effect]) -> PlanTable:
    def at(value: float, vms: int | None) -> str:
        shown = f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:.4g}"
        return f"{shown}: {'impossible' if vms is None else format(vms, ',')}"

    rows = [
        (it.title, it.name, at(it.low, it.vms_at_low), at(it.high, it.vms_at_high), f"±{it.swing:,}")
        for it in effects[:SHOWN_EFFECTS]
    ]
    headings = ("Input", "--what-if", "low: VMs", "high: VMs", "swing")
    return PlanTable(title, headings, rows, frozenset({2, 3, 4}))


def _claim(claim: Sequence[ClaimRow]) -> PlanTable:
    groups: dict[tuple[str, str], dict[int, ClaimRow]] = {}
    for row in claim:
        groups.setdefault((row.tier, row.profile), {})[row.vm_memory_mib] = row
    rows = [(*key, *(_claim_cell(found[mib]) for mib in VM_MEMORY_MIB)) for key, found in groups.items()]
    headings = ("Tier", "Profile", *(f"{mib} MiB" for mib in VM_MEMORY_MIB))
    numbers = frozenset(range(2, len(headings)))
    title = "The guide's VMs per 16 GB, by memory alone: ✓ confirmed, ✗ refuted, – the agent does not fit into the VM"
    return PlanTable(title, headings, rows, numbers)


def _claim_cell(row: ClaimRow) -> str:
    return "–" if row.vms is None else f"{'✗' if row.result.startswith('refuted') else '✓'} {row.vms:,}"


def _inputs(plan: Answer) -> PlanTable:
    rows: list[tuple[str, ...]] = []
    source = ""
    for it in plan.inputs:
        rows.append((it.name, it.value, it.kind, "as above" if it.source == source else it.source))
        source = it.source
    return PlanTable("Inputs", ("Input", "Value", KNOWN, "Source"), rows)
