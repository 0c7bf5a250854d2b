"""Builds the report of a run directory."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from hornet.host.durable import replace_link
from hornet.results.gate import Demands
from hornet.results.history import read_history, runs_up_to
from hornet.results.measured_baseline import measured_baselines
from hornet.results.run import load_run
from hornet.results.verdict import judge
from hornet.spec.model import Spec
from reports.page import ReportPaths, write_report
from reports.summary import MetricRow, metric_rows, summarize

LATEST = "latest"
# In the history of a metric, this run included.
SHOWN_RUNS = 20


def build_report(run_dir: Path, spec: Spec, demands: Demands, *, baseline: Path | None = None) -> ReportPaths:
    """Write report.html, report.md and report.json into a run directory, from its contents.

    baseline: the directory of an earlier run to compare with. The report names missing and damaged inputs.
    Raises HostError if there is no such directory, or if the report cannot be written.
    """
    from reports.pictures import pictures

    run = load_run(run_dir)
    before = load_run(baseline) if baseline else None
    history = read_history(runs_up_to(run.directory, SHOWN_RUNS), spec.metrics)
    measured = measured_baselines(run.directory.parent)
    report = summarize(run, spec, demands, before, history, measured)
    return write_report(run.directory, report, pictures(run, report, spec, before))


def build_reports(run_dirs: Sequence[Path], spec: Spec, demands: Demands) -> None:
    """The reports of several runs, one on each processor: pictures take seconds. Raises HostError like build_report."""
    if len(run_dirs) < 2:
        for each in run_dirs:
            build_report(each, spec, demands)
        return
    processes = min(len(run_dirs), os.cpu_count() or 1)
    # An interrupt is this process's: it ends the others.
    quiet = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=signal.signal, initargs=quiet) as pool:
        list(pool.map(partial(build_report, spec=spec, demands=demands), run_dirs))


def verdict_table(run_dir: Path, spec: Spec) -> list[MetricRow]:
    """The target metrics of a run with their verdicts, for the terminal (see reports.terminal)."""
    return metric_rows(spec, judge(spec, load_run(run_dir).records))


def publish_latest(run_dir: Path) -> Path:
    """Point the link `latest`, beside the run directories, at a run, in one step; returns the link."""
    link = run_dir.parent / LATEST
    replace_link(link, run_dir.name)
    return link
