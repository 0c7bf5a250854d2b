"""The trend of metrics over runs: data for other programs, a table for the terminal, and a page with pictures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hornet.host.durable import write_file
from hornet.results.history import History, Series, link_to
from hornet.results.trend import ChangePoint, change_points
from hornet.spec.model import Spec
from reports.page import PICTURES_DIRECTORY, render, write_picture
from reports.pictures import Picture, picture
from reports.plot_trend import trend

SCHEMA = 1
PAGE = "trend.html"


@dataclass(frozen=True)
class SeriesTrend:
    """A series with its changes. host: what sets its host apart from those of the other series; else its CPU."""

    title: str
    host: str
    series: Series
    changes: list[ChangePoint]

    @property
    def median(self) -> float:
        return statistics.median_low([point.value for point in self.series.points])

    @property
    def latest(self) -> float:
        return self.series.points[-1].value


@dataclass(frozen=True)
class Trend:
    """The trends of all series. problems: one sentence for each run or value that was left out."""

    runs: int
    series: list[SeriesTrend]
    problems: list[str]


@dataclass(frozen=True)
class TrendFile:
    """What `hornetos trend --json` prints."""

    schema: int
    trend: Trend


def trend_of(history: History, spec: Spec) -> Trend:
    """The changes of each series, in the spec's order of metrics."""
    order = [*spec.metrics, *spec.measurements]
    titles = {key: it.title for key, it in {**spec.measurements, **spec.metrics}.items()}
    ordered = sorted(history.series, key=lambda it: order.index(it.metric) if it.metric in order else len(order))
    hosts = [it.host for it in history.series]
    found = [
        SeriesTrend(titles.get(it.metric, it.metric), _host_label(it.host, hosts), it, change_points(it))
        for it in ordered
    ]
    return Trend(history.runs, found, history.problems)


def _host_label(host: Mapping[str, Any], hosts: Sequence[Mapping[str, Any]]) -> str:
    differing = [key for key in host if any(other.get(key) != host[key] for other in hosts)]
    return ", ".join(f"{key} {host[key]}" for key in differing) or str(host.get("cpu", "unknown"))


def as_data(found: Trend) -> dict[str, Any]:
    """The trend as JSON data."""
    data: dict[str, Any] = TypeAdapter(TrendFile).dump_python(TrendFile(SCHEMA, found), mode="json")
    return data


def write_page(found: Trend, directory: Path) -> Path:
    """Write trend.html and its pictures into a directory; returns the page. Raises OSError."""
    (directory / PICTURES_DIRECTORY).mkdir(parents=True, exist_ok=True)
    drawn: list[tuple[SeriesTrend, Picture]] = []
    for number, item in enumerate(found.series):
        one = _drawn(item, number, directory)
        if one:
            write_picture(directory / PICTURES_DIRECTORY, one)
            drawn.append((item, one))
    links = {id(point): link_to(point.directory, directory) for item in found.series for point in item.series.points}
    path = directory / PAGE
    write_file(path, render("trend.html.j2", {}, trend=found, drawn=drawn, link=lambda point: links[id(point)]))
    return path


def _drawn(item: SeriesTrend, number: int, directory: Path) -> Picture | None:
    series = item.series
    facts = [series.label, f"tier {series.tier}" if series.tier else "", item.host]
    heading = f"{item.title} ({series.label})" if series.label else item.title
    draw = partial(trend, series, item.changes, directory, heading)
    return picture(f"trend-{number}", item.title, " · ".join(filter(None, [series.lane or "", *facts])), draw)
