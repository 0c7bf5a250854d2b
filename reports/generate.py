"""Builds the report of a run directory."""

from __future__ import annotations

from pathlib import Path

from hornet.checks.sizes import guide_comparison
from hornet.host.durable import replace_link
from hornet.results.density import DENSITY_METRIC
from hornet.results.gate import Demands
from hornet.results.run import Run, load_run
from hornet.results.verdict import judge
from hornet.spec.model import Spec
from hornet.spec.tiers import Tier
from reports.page import Picture, ReportPaths, write_report
from reports.summary import MetricRow, Report, metric_rows, summarize

LATEST = "latest"


def build_report(run_dir: Path, spec: Spec, demands: Demands, *, baseline: Path | None = None) -> ReportPaths:
    """Write report.html, report.md and report.json into a run directory, from its contents.

    baseline: the directory of an earlier run to compare with. The report names missing and damaged inputs.
    Raises HostError if there is no such directory, or if the report cannot be written.
    """
    run = load_run(run_dir)
    before = load_run(baseline) if baseline else None
    report = summarize(run, spec, demands, before)
    return write_report(run.directory, report, _pictures(run, report, spec, before))


def verdict_table(run_dir: Path, spec: Spec) -> list[MetricRow]:
    """The target metrics of a run with their verdicts, for the terminal (see reports.terminal)."""
    return metric_rows(spec, judge(spec, load_run(run_dir).records))


def publish_latest(run_dir: Path) -> Path:
    """Point the link `latest`, beside the run directories, at a run, in one step; returns the link."""
    link = run_dir.parent / LATEST
    replace_link(link, run_dir.name)
    return link


def _pictures(run: Run, report: Report, spec: Spec, baseline: Run | None) -> dict[str, Picture]:
    from reports import plot

    tier = spec.tiers.get(run.rootfs.tier)
    earlier = baseline.records if baseline else []
    drawn = [
        (
            "targets",
            "Targets and the Ubuntu baseline",
            "Each metric as a multiple of its target, on a logarithmic axis. Left of the green line the target is met. "
            "● meets, ✕ misses, □ emulated and therefore not judged; ◇ the guide's Ubuntu baseline.",
            plot.targets(report.metrics),
        ),
        (
            "phases",
            "Where the time goes",
            "The phases of the median run. Emulated times show proportions on this host, not times under KVM.",
            plot.parts(run.records, "ms", report.titles),
        ),
        (
            "memory",
            "Where the memory goes",
            "The PSS of the median VM. Pages that clones share are counted once for all of them. The translated code "
            "of an emulator is not included.",
            plot.parts(run.records, "MB", report.titles),
        ),
        (
            "capacity",
            "VMs per host",
            f"How many VMs fit into {spec.capacity.host_memory_mb:g} MB, {spec.capacity.host_reserved_mb:g} MB of it "
            "reserved for the host, by the memory that an agent's work adds. Shared pages are counted once.",
            plot.capacity(report.capacity, spec.capacity.available_mb, spec.metrics.get(DENSITY_METRIC)),
        ),
        (
            "distributions",
            "Every sample",
            "One dot per sample; the tick is the median"
            + (f"; grey: the baseline run {baseline.name}." if baseline else "."),
            plot.distributions(run.records, earlier, report.titles),
        ),
        (
            "components",
            "Components of the image",
            "Sizes of the components and of the kernel, beside the guide's table for this tier.",
            plot.components(_component_sizes(run, tier), tier.components if tier else {}),
        ),
    ]
    return {name: Picture(name, title, caption, svg) for name, title, caption, svg in drawn if svg}


def _component_sizes(run: Run, tier: Tier | None) -> dict[str, float]:
    """MB by row of the guide's table. The kernel has a row there, although it is not part of the image."""
    sizes_mb, rows = dict(run.rootfs.components_mb), dict(run.rootfs.guide_components)
    if tier and sizes_mb and run.kernel.size_mb is not None:
        sizes_mb["Kernel"], rows["Kernel"] = run.kernel.size_mb, tier.kernel_component
    return {row.name: row.found_mb for row in guide_comparison(sizes_mb, rows, {})}
