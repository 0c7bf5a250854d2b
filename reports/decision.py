"""The decision on a run for other programs: JSON, JUnit XML, a Markdown summary, Prometheus' text format."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hornet.errors import HostError
from hornet.host.durable import write_file
from hornet.results.gate import Answer, Decision
from hornet.results.outcomes import Result
from hornet.results.requirements import NoResult, RequirementRow
from hornet.results.run import Run
from reports import markdown

SCHEMA = 1
# A summary of one screen.
SHOWN_REASONS = 12


def write(path: Path, text: str) -> None:
    """Write a file completely or not at all. Raises HostError that names it."""
    try:
        write_file(path, text)
    except OSError as error:
        raise HostError(
            f"{path}: {error.strerror}", "name a file in a directory that exists and is writable"
        ) from error


@dataclass(frozen=True)
class DecisionFile:
    """What `hornetos gate --json` prints; see Decision for the sentences."""

    schema: int
    run: str
    suite: str
    tier: str | None
    lanes: list[str]
    subject: dict[str, str]
    headline: str
    answer: Answer
    failures: list[str]
    unjudged: list[str]
    left_out: list[str]
    remarks: list[str]
    requirements: list[RequirementRow]


def as_data(run: Run, decision: Decision) -> dict[str, Any]:
    """The decision as JSON data: answer, headline, reasons, and every requirement."""
    found = DecisionFile(
        schema=SCHEMA,
        run=run.name,
        suite=run.suite,
        tier=run.tier,
        lanes=run.lanes,
        subject=run.subject,
        headline=decision.headline,
        answer=decision.answer,
        failures=decision.failures,
        unjudged=decision.unjudged,
        left_out=decision.left_out,
        remarks=decision.remarks,
        requirements=decision.rows,
    )
    data: dict[str, Any] = TypeAdapter(DecisionFile).dump_python(found, mode="json")
    return data


def as_junit(run: Run, decision: Decision) -> str:
    """JUnit XML with one test case per requirement, and one for the run as a whole."""
    suite = ET.Element("testsuite", name=f"hornetos {run.name}")
    for row in decision.rows:
        _add_case(suite, row)
    whole = ET.SubElement(suite, "testcase", classname="hornetos", name="decision", time="0")
    reasons = "\n".join([*decision.failures, *decision.unjudged])
    if decision.failures:
        ET.SubElement(whole, "failure", message=decision.headline).text = reasons
    elif decision.unjudged:
        ET.SubElement(whole, "error", message=decision.headline).text = reasons
    counts = {tag: str(len(suite.findall(f"testcase/{tag}"))) for tag in ("failure", "error", "skipped")}
    suite.attrib |= {
        "tests": str(len(suite)),
        "failures": counts["failure"],
        "errors": counts["error"],
        "skipped": counts["skipped"],
    }
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ET.Element, row: RequirementRow) -> None:
    name = f"{row.id}: {row.text}"
    case = ET.SubElement(suite, "testcase", classname=row.section, name=name, time=f"{row.duration_s:g}")
    if row.result is Result.FAILED:
        ET.SubElement(case, "failure", message=row.reason)
    elif row.result in (Result.ERROR, Result.NOT_RUN):
        ET.SubElement(case, "error", message=f"{row.result}: {row.reason}")
    elif row.result is not Result.PASSED:
        ET.SubElement(case, "skipped", message=f"{row.result}: {row.reason}")


def as_markdown(run: Run, decision: Decision) -> str:
    """A summary of one screen, for a job's page."""
    sign = {"passed": "✅", "failed": "❌"}.get(decision.answer, "❔")
    lines = [f"## {sign} HornetOS: {_text(decision.headline)}", ""]
    facts = [f"run {run.name}", *([f"tier {run.tier}"] if run.tier else []), *(f"lane {lane}" for lane in run.lanes)]
    lines += [_text(" · ".join(facts)), "", "| Section | Holds | Failed | Other |", "|---|---:|---:|---|"]
    for section in dict.fromkeys(row.section for row in decision.rows):
        lines.append(_section_line(section, [row for row in decision.rows if row.section == section]))
    lines.append("")
    lines += _list("failed", decision.failures) + _list("not judged", decision.unjudged)
    lines += _list("waived", [f"{row.id}: {row.reason}" for row in decision.waived])
    lines += _list("left out: needs KVM", decision.left_out)
    return "\n".join(lines) + "\n"


def _section_line(section: str, rows: Sequence[RequirementRow]) -> str:
    held = sum(row.result is Result.PASSED for row in rows)
    failed = sum(row.result is Result.FAILED for row in rows)
    others = [str(row.result) for row in rows if row.result not in (Result.PASSED, Result.FAILED)]
    shown = ", ".join(f"{others.count(name)} {name}" for name in dict.fromkeys(others))
    return f"| {_text(section)} | {held} | {failed} | {shown or '–'} |"


def _list(heading: str, sentences: Sequence[str]) -> list[str]:
    lines = [f"- **{heading}**: {_text(sentence)}" for sentence in sentences[:SHOWN_REASONS]]
    if len(sentences) > SHOWN_REASONS:
        lines.append(f"- and {len(sentences) - SHOWN_REASONS} more {heading}")
    return lines


def _text(text: str) -> str:
    return str(markdown.as_text(text))


def as_prometheus(run: Run, decision: Decision) -> str:
    """Prometheus' text format, as the textfile collector of its node exporter reads it.

    A collector refuses a file in which two values have the same labels, so a quantity measured twice is only counted.
    Source: https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    lines = [
        "# HELP hornetos_gate_exit_code The decision: 0 passed, 1 failed, 2 not judged.",
        "# TYPE hornetos_gate_exit_code gauge",
        f"hornetos_gate_exit_code{_labels(run=run.name, tier=run.tier or '')} {decision.answer.exit_code}",
        "# HELP hornetos_requirements The number of requirements by result.",
        "# TYPE hornetos_requirements gauge",
    ]
    for result in (*Result, *NoResult):
        count = sum(row.result is result for row in decision.rows)
        lines.append(f"hornetos_requirements{_labels(result=result)} {count}")
    lines += [
        "# HELP hornetos_measurement A measured value, in the unit of its label.",
        "# TYPE hornetos_measurement gauge",
    ]
    values: dict[str, list[float]] = {}
    for record in run.records:
        labels = {"name": record.name, "unit": record.unit, "lane": record.lane or "", "dimensions": record.label}
        values.setdefault(_labels(**labels), []).append(record.value)
    lines += [f"hornetos_measurement{labels} {found[0]!r}" for labels, found in values.items() if len(found) == 1]
    lines += [
        "# HELP hornetos_measurements_left_out The number of quantities measured more than once.",
        "# TYPE hornetos_measurements_left_out gauge",
        f"hornetos_measurements_left_out {sum(len(found) > 1 for found in values.values())}",
    ]
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    escaped = {
        key: str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, value in labels.items()
    }
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"
