"""Writes a report as one self-contained HTML page, as Markdown with picture files, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import TypeAdapter

from hornet.errors import HostError
from hornet.host.durable import write_bytes, write_file
from hornet.results.compare import Change
from hornet.results.gate import Answer
from hornet.results.outcomes import Result
from hornet.results.requirements import NoResult
from hornet.results.rerun import Again
from hornet.results.verdict import Verdict, format_significant
from hornet.text import printable
from reports import markdown
from reports.pictures import Picture
from reports.sparkline import sparkline
from reports.style import for_file, for_page
from reports.summary import REMARK, Report

TEMPLATES = Path(__file__).with_name("templates")
PICTURES_DIRECTORY = "pictures"
# What a page shows at once; the rest is folded, and open on paper.
SHOWN_REASONS, OPENED_TESTS = 12, 3

# Each verdict has a sign besides its colour, for colour-blind readers.
SIGNS: dict[str, tuple[str, str]] = {
    Verdict.MEETS: ("good", "✓"),
    Verdict.MISSES: ("bad", "✗"),
    Verdict.EMULATED: ("open", "◻"),
    Verdict.PLAN: ("open", "~"),
    Verdict.INVALID_RECORD: ("open", "?"),
    Verdict.NOT_MEASURED: ("open", "–"),
    Answer.PASSED: ("good", "✓"),
    Answer.FAILED: ("bad", "✗"),
    Answer.NOT_JUDGED: ("open", "?"),
    Change.BETTER: ("good", "✓"),
    Change.WORSE: ("bad", "✗"),
    Change.NONE_SHOWN: ("open", "="),
    Change.TOO_FEW: ("open", "?"),
    Change.NOT_COMPARABLE: ("open", "?"),
    Change.UNMATCHED: ("open", "–"),
    Result.PASSED: ("good", "✓"),
    Result.FAILED: ("bad", "✗"),
    Result.ERROR: ("open", "?"),
    Result.NOT_JUDGED: ("open", "◻"),
    Result.NOT_RUN: ("open", "–"),
    Result.WAIVED: ("open", "~"),
    Again.FLAKY: ("bad", "!"),
    Again.REPEATED: ("open", "="),
    REMARK: ("open", "–"),
    NoResult.OF_THE_SUITE: ("open", "–"),
    NoResult.NOT_COVERED: ("open", "–"),
    NoResult.OTHER_TIER: ("open", "–"),
}


@dataclass(frozen=True)
class ReportPaths:
    """The paths of a written report."""

    html: Path
    markdown: Path
    json: Path


def write_report(directory: Path, report: Report, pictures: Mapping[str, Picture]) -> ReportPaths:
    """Write report.html, report.md, report.json and the pictures as SVG and PNG, each file completely or not at all."""
    paths = ReportPaths(directory / "report.html", directory / "report.md", directory / "report.json")
    try:
        (directory / PICTURES_DIRECTORY).mkdir(exist_ok=True)
        for picture in pictures.values():
            write_picture(directory / PICTURES_DIRECTORY, picture)
        # json escapes control characters as \u…, so a terminal does not interpret them.
        write_file(paths.json, json.dumps(TypeAdapter(Report).dump_python(report, mode="json"), indent=2) + "\n")
        write_file(paths.markdown, report_markdown(report, pictures))
        write_file(paths.html, report_html(report, pictures))
    except OSError as error:
        raise HostError(
            f"{error.filename or directory}: {error.strerror}", f"free space in {directory}, or make it writable"
        ) from error
    return paths


def report_markdown(report: Report, pictures: Mapping[str, Picture]) -> str:
    """The text of report.md."""
    return render("report.md.j2", report.titles, report=report, pictures=pictures)


def report_html(report: Report, pictures: Mapping[str, Picture]) -> str:
    """The text of report.html."""
    shown = {"shown_reasons": SHOWN_REASONS, "opened_tests": OPENED_TESTS}
    return render("report.html.j2", report.titles, report=report, pictures=pictures, **shown)


def write_picture(directory: Path, picture: Picture) -> None:
    """Write a picture as SVG and as PNG. Raises OSError."""
    write_file(directory / f"{picture.name}.svg", for_file(picture.wide))
    write_bytes(directory / f"{picture.name}.png", picture.png)


def render(template: str, titles: Mapping[str, str], **values: Any) -> str:
    """A page or Markdown text. titles: of metrics, by key. Every text in it is escaped."""
    html = template.endswith(".html.j2")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=html,
        finalize=as_text if html else markdown.as_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        significant=lambda value, beside=None: "–" if value is None else format_significant(value, beside),
        inline=_inline,
        times=_times,
        sparkline=sparkline,
        groupby_in_order=_grouped,
        title=lambda name: titles.get(name, name),
        css=lambda verdict: SIGNS[verdict][0],
        sign=lambda verdict: SIGNS[verdict][1],
    )
    return environment.get_template(template).render(values)


def _times(improvement: float) -> str:
    """How many times better, or worse, as words."""
    better = improvement >= 1
    return f"{format_significant(improvement if better else 1 / improvement)}× {'better' if better else 'worse'}"


def _inline(picture: Picture) -> Markup:
    """A picture in a page: the wide one, and for phones the narrow one."""
    told = f"{picture.title}. {picture.caption}"
    wide = for_page(picture.wide, f"{picture.name}-wide", told)
    narrow = for_page(picture.narrow, f"{picture.name}-narrow", told)
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')


def as_text(value: Any) -> Any:
    """A printable value of the page; Jinja escapes it afterwards unless it is the suite's own markup."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _grouped(rows: Iterable[Any], field: str) -> list[tuple[Any, list[Any]]]:
    """Rows grouped by the value of a field, in order of appearance (Jinja's own groupby sorts them)."""
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(getattr(row, field), []).append(row)
    return list(groups.items())
