"""The pictures of a run's report, each with a caption and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hornet.capacity.at_rest import DENSITY_METRIC
from hornet.checks.sizes import guide_comparison
from hornet.results.records import Record
from hornet.results.run import Run
from hornet.results.verdict import format_significant
from hornet.spec.model import Spec
from hornet.spec.tiers import Tier
from reports import plot, plot_after_restore, plot_capacity, plot_concurrency, plot_parts, plot_samples
from reports.style import NARROW_IN, WIDE_IN, Draw, to_png, to_svg
from reports.summary import Report


@dataclass(frozen=True)
class Table:
    """The numbers of a picture, for readers who don't see it."""

    headings: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Picture:
    """A picture: file name without suffix, title, caption; SVG documents for a page and for a phone, and PNG.

    table: the same numbers; without rows if the page has them in a table of its own.
    """

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    png: bytes
    table: Table


def picture(name: str, title: str, caption: str, draw: Draw, table: Table | None = None) -> Picture | None:
    """Draw a picture for a page, for a phone, and as PNG; None if there is nothing to show."""
    wide, narrow = draw(WIDE_IN), draw(NARROW_IN)
    if wide is None or narrow is None:
        return None
    return Picture(name, title, caption, to_svg(wide), to_svg(narrow), to_png(wide), table or Table())


def pictures(run: Run, report: Report, spec: Spec, baseline: Run | None) -> dict[str, Picture]:
    """The pictures of a run by name, without those that have nothing to show."""
    tier = spec.tiers.get(run.rootfs.tier)
    records, earlier, titles = run.records, baseline.records if baseline else [], report.titles
    sizes_mb, guide_mb = component_sizes(run, tier), tier.components if tier else {}
    drawn = [
        picture(
            "targets",
            "Targets and the Ubuntu baseline",
            "Each metric as a multiple of its target, on a logarithmic axis. Left of the green line the target is met. "
            "● meets, ✕ misses, □ emulated and therefore not judged; ◇ the guide's Ubuntu baseline.",
            partial(plot.targets, report.metrics),
        ),
        picture(
            "phases",
            "Where the time goes",
            "The phases of the median run, each beginning where the one before ended. Emulated times show proportions "
            "on this host, not times under KVM.",
            partial(plot_parts.waterfall, records, titles),
            _parts_table(report, plot_parts.with_parts(records), "Phase"),
        ),
        picture(
            "distributions",
            "Every sample",
            "The share of samples at or below a value: one step for each sample. n is the number of samples; a "
            "percentile is given only if there are enough of them"
            + (f". Grey: the baseline run {baseline.name}." if baseline else "."),
            partial(plot_samples.ecdf, records, earlier, titles),
        ),
        picture(
            "memory",
            "Where the memory goes",
            "The PSS of the median VM by mapping. Pages that clones share are counted once for all of them. The "
            "translated code of an emulator is not included.",
            partial(plot_parts.stacked, records, titles, plot_parts.MEMORY_UNIT),
            _parts_table(report, plot_parts.with_parts(records, plot_parts.MEMORY_UNIT), "Mapping"),
        ),
        picture(
            "instructions",
            "What the guest executes",
            "The instructions of the median run by phase, counted in the emulated lane. They barely depend on the load "
            "of the host, and say nothing about times.",
            partial(plot_parts.stacked, records, titles, plot_parts.INSTRUCTIONS_UNIT),
            _parts_table(report, plot_parts.with_parts(records, plot_parts.INSTRUCTIONS_UNIT), "Phase"),
        ),
        picture(
            "concurrency",
            "Restores at once",
            "Restores that began at the same moment, until their guests answered. Several snapshots are copies, so "
            "that their clones share no memory.",
            partial(plot_concurrency.concurrency, records),
            _concurrency_table(records),
        ),
        picture(
            "after_restore",
            "What a restore leaves to pay",
            "Each step of a clone after its restore: its time, and what the kernel read from the disk for it. Cold: "
            "the page cache held nothing of the snapshot, nor of the clone's disk.",
            partial(plot_after_restore.after_restore, records),
            _after_restore_table(records),
        ),
        picture(
            "capacity",
            "VMs per host",
            f"How many VMs fit into {spec.capacity.host_memory_mb:g} MB, {spec.capacity.host_reserved_mb:g} MB of it "
            "reserved for the host, by the memory that an agent's work adds. Shared pages are counted once. This is a "
            "plan by extrapolation, not a verdict.",
            partial(
                plot_capacity.capacity,
                report.capacity,
                spec.capacity.available_mb,
                spec.metrics.get(DENSITY_METRIC),
            ),
            _capacity_table(report),
        ),
        picture(
            "components",
            "Components of the image",
            "Sizes of the components and of the kernel, beside the guide's table for this tier.",
            partial(plot.components, sizes_mb, guide_mb),
            Table(
                ("Component", "MB", "Guide, MB"),
                [
                    (name, f"{mb:.3g}", f"{guide_mb[name]:g}" if name in guide_mb else "–")
                    for name, mb in sizes_mb.items()
                ],
            ),
        ),
    ]
    return {found.name: found for found in drawn if found}


def _parts_table(report: Report, records: Sequence[Record], part: str) -> Table:
    rows = [
        (
            report.titles.get(record.name, record.name),
            plot.bar_name(record).replace("\n", ", ") or "–",
            plot_parts.part_name(name),
            f"{format_significant(amount)} {record.unit}",
        )
        for record in records
        for name, amount in record.parts.items()
    ]
    return Table(("What", "Lane", part, "Amount"), rows)


def _concurrency_table(records: Sequence[Record]) -> Table:
    throughput = plot_concurrency.with_levels(records, plot_concurrency.THROUGHPUT)
    latency = plot_concurrency.with_levels(records, plot_concurrency.LATENCY)
    rows = [
        (
            name,
            str(many.dimensions["at_once"]),
            format_significant(many.value),
            format_significant(one.value),
            format_significant(max(one.samples, default=one.value)),
            str(len(one.failures)),
        )
        for name, of_name in throughput.items()
        for many, one in zip(of_name, latency.get(name, []), strict=False)
    ]
    return Table(("Snapshots", "At once", "Per second", "Median, ms", "Slowest, ms", "Failed"), rows)


def _after_restore_table(records: Sequence[Record]) -> Table:
    time, read, faults = (
        plot_after_restore.by_step(records, name)
        for name in (plot_after_restore.TIME, plot_after_restore.READ, plot_after_restore.FAULTS)
    )
    rows = [
        (
            plot_after_restore.step_name(step),
            cache,
            format_significant(record.value),
            *(
                format_significant(found.value) if found else "–"
                for found in (
                    read.get(step, {}).get(cache),
                    faults.get(step, {}).get(f"{cache} major_faults"),
                    faults.get(step, {}).get(f"{cache} minor_faults"),
                )
            ),
        )
        for step, of_step in time.items()
        for cache, record in of_step.items()
    ]
    return Table(("Step", "Page cache", "ms", "MB read", "Major faults", "Minor faults"), rows)


def _capacity_table(report: Report) -> Table:
    rows = [
        (f"{plot.lane_name(plan.lane)} {plan.label}", f"{work:g} MB", str(count))
        for plan in report.capacity
        for work, count in plan.vms
    ]
    return Table(("Measured", "Work adds", "VMs"), rows)


def component_sizes(run: Run, tier: Tier | None) -> dict[str, float]:
    """MB by row of the guide's table. The kernel has a row there, although it is not part of the image."""
    sizes_mb, rows = dict(run.rootfs.components_mb), dict(run.rootfs.guide_components)
    if tier and sizes_mb and run.kernel.size_mb is not None:
        sizes_mb["Kernel"], rows["Kernel"] = run.kernel.size_mb, tier.kernel_component
    return {row.name: row.found_mb for row in guide_comparison(sizes_mb, rows, {})}
