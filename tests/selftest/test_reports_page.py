"""The written report: it says what holds and what does not, shows every input, and needs nothing from outside."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hornet.host.tuning import tuning
from hornet.results.gate import Answer, Demands
from hornet.results.outcomes import Case, Result
from hornet.results.records import MAX_AMOUNT, Record
from hornet.results.run_info import RUN_FILE
from hornet.results.verdict import Verdict
from hornet.results.waivers import Waiver
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet.vm.life import BOOTED, LIVES, Life
from reports import build_report, publish_latest, verdict_table
from reports.style import fills
from tests.support import synthetic_run as synthetic

SPEC = load_spec()
MEASURED = {"phases", "memory", "instructions", "concurrency", "after_restore", "distributions"}
PICTURES = {"targets", "capacity", "components", *MEASURED}
DEMANDS = Demands(load_requirements())
RECORDS = [
    *synthetic.records(seed=7, slower=1.4),
    *synthetic.instruction_records(),
    *synthetic.concurrency_records(),
    *synthetic.after_restore_records(),
]
FAILED = Case(
    test="conformance/test_sizes::test_kernel_size",
    result=Result.FAILED,
    reason="vmlinux: 9.2 MB <script>alert(1)</script>",
    detail="console: panic",
    evidence=("evidence/test_kernel_size",),
)


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a failure, compared with a faster one."""
    base = tmp_path_factory.mktemp("reports")
    before = synthetic.make_run(base / "before")
    build_report(before, SPEC, DEMANDS)
    synthetic.date_run(before, "2026-01-01T00:00:00+00:00")
    run = synthetic.make_run(base / "run", records=RECORDS, cases=[*synthetic.CASES, FAILED])
    build_report(run, SPEC, DEMANDS, baseline=before)
    return run


def test_the_page_is_one_file_that_loads_nothing(written: Path) -> None:
    page = Page((written / "report.html").read_text())
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "iframe", "object"}
    references = [ref for _, attrs in page.tags for key in ("href", "src", "xlink:href") if (ref := attrs.get(key))]
    outside = [ref for ref in references if not ref.startswith("#")]
    pictures = {f"pictures/{name}.{suffix}" for name in PICTURES for suffix in ("svg", "png")}
    reports = {"report.html", "report.md", "report.json", "../before/report.html"}
    assert set(outside) == {"data:,", *reports, *pictures, *FAILED.evidence}
    assert "@import" not in (written / "report.html").read_text()
    assert not re.findall(r"url\((?!['\"]?#)", (written / "report.html").read_text())


def test_the_page_shows_verdicts_failures_and_pictures(written: Path) -> None:
    page = Page((written / "report.html").read_text())
    assert "Failed: " in page.text
    assert "vmlinux: 9.2 MB <script>alert(1)</script>" in page.text, "a message is text, never markup"
    assert "console: panic" in page.text
    assert "the image has no /proc/config.gz" in page.text
    for verdict in (Verdict.MEETS, Verdict.EMULATED, Verdict.NOT_MEASURED):
        assert verdict in page.text
    for kind in ("wide", "narrow"):
        assert sum(attrs.get("class") == kind for _, attrs in page.tags) == len(PICTURES)
    assert "worse" in page.text


def test_each_picture_has_its_numbers_in_words_and_a_png(written: Path) -> None:
    page = Page((written / "report.html").read_text())
    drawn = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in drawn)
    for name in PICTURES:
        assert (written / "pictures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids)), "an id stands once on a page"


def test_the_latest_runs_of_a_metric_lead_to_their_reports(written: Path) -> None:
    report = json.loads((written / "report.json").read_text())
    (hot,) = [row for row in report["metrics"] if row["label"] == "page_cache=hot"]
    assert [(point["run"], point["link"]) for point in hot["history"]] == [
        ("before", "../before/report.html"),
        ("run", "report.html"),
    ]
    assert hot["stored"] == hot["history"][0]["value"]


def test_the_page_shows_load_waiver_and_lane_of_each_result(tmp_path: Path) -> None:
    waiver = Waiver(owner="A. Owner", reason="known", expires=date(2099, 1, 1))
    case = Case(
        test="conformance/test_hazards::test_clones_are_safe[boot_id]",
        result=Result.FAILED,
        requirements=("hazard-boot_id",),
        lane="qemu/kvm",
    )
    run = synthetic.make_run(tmp_path / "run", cases=[case])
    demands = Demands(load_requirements(), waivers={"hazard-boot_id": waiver})
    text = Page(build_report(run, SPEC, demands).html.read_text()).text
    for said in ("load 0.1 per core before it", "waiver of A. Owner until 2099-01-01", "qemu/kvm", "Hazards of clones"):
        assert said in text
    assert f"swappiness: {tuning()['swappiness']}" in text


def test_a_test_with_two_results_is_shown_as_flaky(tmp_path: Path) -> None:
    passed = Case(test="network/test_x::test_y", result=Result.PASSED, lane="qemu/kvm")
    failed = passed.model_copy(update={"result": Result.FAILED, "reason": "no answer"})
    paths = build_report(synthetic.make_run(tmp_path / "run", cases=[failed, passed]), SPEC, DEMANDS)
    assert "! flaky network/test_x::test_y: it has several results" in Page(paths.html.read_text()).text
    assert "- flaky: network/test_x::test_y: it has several results" in paths.markdown.read_text()


def test_many_reasons_are_folded_after_the_first(tmp_path: Path) -> None:
    page = Page(build_report(synthetic.make_run(tmp_path / "run", cases=[]), SPEC, DEMANDS).html.read_text())
    assert re.search(r"\b\d+ more\b", page.text)


def test_no_two_parts_of_a_picture_look_alike() -> None:
    look = fills(f"phase{number}" for number in range(32))
    assert len(set(look.values())) == 32
    with pytest.raises(ValueError, match="33 parts"):
        fills(f"phase{number}" for number in range(33))


def test_markdown_has_its_pictures_as_files(written: Path) -> None:
    text = (written / "report.md").read_text()
    names = re.findall(r"\]\((pictures/\w+\.svg)\)", text)
    assert {Path(name).stem for name in names} >= PICTURES
    for name in names:
        assert ET.parse(written / name).getroot().tag.endswith("svg")
    assert all(len(row.split("|")) == len(rows[0].split("|")) for rows in tables(text) for row in rows)


def tables(markdown: str) -> list[list[str]]:
    """Runs of table rows; an escaped bar does not count."""
    blocks = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    return [block.replace("\\|", "").strip().split("\n") for block in blocks]


def test_json_says_the_same_and_holds_every_sample(written: Path) -> None:
    report = json.loads((written / "report.json").read_text())
    assert report["decision"]["answer"] == Answer.FAILED
    assert [row["verdict"] for row in report["metrics"]] == [row.verdict for row in verdict_table(written, SPEC)]
    assert sum(len(record["samples"]) for record in report["records"]) == sum(len(it.samples) for it in RECORDS)


def test_a_second_build_writes_the_same(written: Path) -> None:
    names = ["report.html", "report.md", "report.json", *(f"pictures/{p.name}" for p in written.glob("pictures/*"))]
    before = {name: (written / name).read_bytes() for name in names}
    build_report(written, SPEC, DEMANDS, baseline=written.parent / "before")
    assert {name: (written / name).read_bytes() for name in names} == before
    assert not list(written.glob(".*")), "no temporary file is left"


@pytest.mark.parametrize("left_out", ["host.json", "artifacts.json", "outcomes.jsonl", "records.jsonl"])
def test_a_report_is_written_without_any_one_input(tmp_path: Path, left_out: str) -> None:
    run = synthetic.make_run(tmp_path / "run")
    (run / left_out).unlink()
    paths = build_report(run, SPEC, DEMANDS)
    assert left_out in Page(paths.html.read_text()).text


def test_a_report_of_nothing_says_that_nothing_was_judged(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    text = Page(build_report(tmp_path / "run", SPEC, DEMANDS).html.read_text()).text
    assert "Not judged: 0 of " in text
    assert "meets target" not in text


def test_latest_is_switched_and_stays_relative(tmp_path: Path) -> None:
    for name in ("first", "second"):
        publish_latest(synthetic.make_run(tmp_path / name))
    assert (tmp_path / "latest").readlink() == Path("second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "latest", "second"]


def test_special_characters_and_extreme_values_are_drawn(tmp_path: Path) -> None:
    """Names are not drawn as formulas, and no axis overflows."""
    records = [
        Record(
            name="snapshot_restore",
            value=MAX_AMOUNT,
            unit="$ms$",
            direction="lower",
            lane="qemu/tcg",
            dimensions={"$\\foo$": "_^{"},
            host=synthetic.HOST,
            samples=[0, 5e-324, MAX_AMOUNT],
        ),
        Record(
            name="$\\bar$",
            value=MAX_AMOUNT,
            unit="ms",
            direction="higher",
            lane="qemu/kvm",
            host={"$\\foo$": [None]},
            parts={"$\\foo$": MAX_AMOUNT, "\\": 0},
        ),
    ]
    run = synthetic.make_run(tmp_path / "run", records=records)
    written = build_report(run, SPEC, DEMANDS, baseline=run)
    assert "$\\foo$" in (run / "pictures" / "phases.svg").read_text()
    assert written.html.exists()


@pytest.mark.parametrize("life", LIVES)
def test_a_run_with_booted_guests_says_so(tmp_path: Path, life: Life) -> None:
    run = synthetic.make_run(tmp_path / "run")
    info = json.loads((run / RUN_FILE).read_text()) | {"life": life}
    (run / RUN_FILE).write_text(json.dumps(info))
    page = build_report(run, SPEC, DEMANDS).html.read_text()
    assert ("judged as they had booted" in page) == (life == BOOTED)
