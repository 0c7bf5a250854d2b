"""The page in a real browser: both themes, a phone and paper show every word, and the console stays empty."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from hornet.capacity.at_rest import DENSITY_METRIC
from hornet.capacity.fleet import answer
from hornet.capacity.guide_claim import guide_claim
from hornet.capacity.measured import Measured
from hornet.capacity.model import HostType
from hornet.remote.fleet_decision import decide_fleet
from hornet.remote.fleet_file import FleetFile, HostState
from hornet.remote.here import describe
from hornet.remote.plan import Plan
from hornet.results.gate import Demands
from hornet.results.history import read_history, run_directories
from hornet.results.outcomes import Case, Result
from hornet.results.records import DISTRO
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet.spec.rootfs import BASELINE
from reports import build_report
from reports.columns import FLEET_PAGE, Heading, write_columns_page
from reports.plan_page import write_plan_page
from reports.trend import trend_of, write_page
from tests.support import capacity_samples
from tests.support import synthetic_run as synthetic
from tests.support.many_runs import value_record, write_run, write_runs

# Debian's, then the names of others.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="not judged: no chromium: apt-get install chromium")

DESK, PHONE = 1100, 390
# A4 in CSS pixels, without the margins of the page.
PAPER = 703
# Below this height a line of text in a picture cannot be read.
MIN_TEXT_PX = 9
LONG = "a-name-without-any-place-to-break-it-" * 4
FAILED = Case(
    test=f"conformance/test_tools::test_tool_works[{LONG}]",
    result=Result.FAILED,
    reason=f"{LONG}: not found",
    detail=LONG * 3,
    requirements=("hazard-boot_id",),
    lane="qemu/tcg",
    evidence=("evidence/01-vm1",),
)

# Words that stick out of the page or are hidden by what holds them.
CLIPPED = """() => {
  const seen = e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().width > 0;
  const wide = [...document.querySelectorAll('body *')].filter(seen).filter(e => !e.closest('svg'))
    .filter(e => { const r = e.getBoundingClientRect(); return r.right > innerWidth + 1 || r.left < -1 ||
      (e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1); });
  const cut = [...document.querySelectorAll('svg text')].filter(seen).filter(e => {
    const t = e.getBoundingClientRect(), s = e.ownerSVGElement.getBoundingClientRect();
    return t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1; });
  return [...wide, ...cut].map(e => `${e.tagName} ${e.textContent.trim().slice(0, 60)}`);
}"""
# Two labels of one picture over each other, by more than their line spacing.
OVERLAPPING = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()])
    .filter(([, r]) => r.width > 0);
  return boxes.flatMap(([name, a], i) => boxes.slice(i + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5 * Math.min(a.height, b.height))
    .map(([other]) => `${name} / ${other}`)); })"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll('svg text')]
  .map(e => e.getBoundingClientRect().height).filter(h => h > 0))"""
# The contrast of all text against the ground that is painted below it (WCAG 2.1, 1.4.3).
PALE = """() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
    return [255, 255, 255]; };
  return [...document.querySelectorAll('h1, h2, td, th, small, li, dt, dd, a, .chip, strong, svg text')]
    .filter(e => !e.closest('svg') || e.tagName === 'text').map(e => {
    const style = getComputedStyle(e), ink = rgb(e.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)]; }).filter(([ratio]) => ratio < 4.5 &&
    ratio > 0).map(([ratio, text]) => `${ratio.toFixed(1)}: ${text}`); }"""


HIDDEN = "() => [...document.querySelectorAll('details td')].filter(e => e.getBoundingClientRect().height < 1).length"


@pytest.fixture(scope="module", params=["report", "plan", "fleet", "trend"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with a baseline, a long name and a failure, of a capacity plan, of a fleet, and of a trend."""
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param))


def write_plan(base: Path) -> Path:
    """A plan of two host types and two groups, one with a long name."""
    spec, page = load_spec(), base / "plan.html"
    hosts = (HostType(LONG, 16000, 1000, 8, 2), HostType("large", 256000, 1000, 64))
    made_up = (capacity_samples.group(300), capacity_samples.group(200, LONG))
    groups = [replace(group, assumptions=spec.capacity.assumptions) for group in made_up]
    scenarios = [capacity_samples.scenario(*groups, host=host, risk=0.01, scenarios=1000) for host in hosts]
    measurement = Measured("run", "standard", "qemu/tcg", groups[0].footprint, None, 1.0, 4, emulated=True)
    plan = answer(scenarios, spec.capacity.limits, [measurement], [{"idle_mb": 10}])
    density = spec.metrics[DENSITY_METRIC]
    claim = guide_claim(spec.capacity, density, [measurement], spec.profiles, kept=False, risk=0.01)
    write_plan_page(page, plan, claim, density)
    return page


def write_report(base: Path) -> Path:
    before = synthetic.make_run(base / "before")
    unslimmed: dict[str, Any] = {DISTRO: BASELINE, "page_cache": "hot"}
    synthetic.make_run(base / LONG, records=[synthetic.restore_record(seed=3, slower=2.0, **unslimmed)])
    synthetic.date_run(before, "2026-01-01T00:00:00+00:00")
    records = [
        *synthetic.records(seed=7, slower=1.4),
        *synthetic.instruction_records(),
        *synthetic.concurrency_records(),
        *synthetic.after_restore_records(),
    ]
    records.append(synthetic.restore_record(seed=9, name=LONG))
    run = synthetic.make_run(base / "run", records=records, cases=[*synthetic.CASES, FAILED])
    return build_report(run, load_spec(), Demands(load_requirements()), baseline=before).html


def write_fleet(base: Path) -> Path:
    """Two hosts with different results, and two whose work is missing."""
    spec, demands = load_spec(), Demands(load_requirements())
    came = HostState(tries=["f"], came_back="f", reason="")
    hosts = {"rack1-a": came, "rack1-b": came, "rack2-a": HostState(reason=LONG), "rack2-b": HostState()}
    here, plan = describe(spec, {}, []), Plan(limit_minutes=1)
    fleet = FleetFile(name="fleet-1", begun="2026-01-01T00:00:00+00:00", here=here, plan=plan, hosts=hosts)
    for number, name in enumerate(("rack1-a", "rack1-b")):
        records = synthetic.records(seed=number, lane=("qemu/tcg", "qemu/kvm")[number])
        run = synthetic.make_run(base / "hosts" / name, records=records, cases=[*synthetic.CASES, FAILED][: 7 + number])
        build_report(run, spec, demands)
    heading = Heading("fleet", fleet.name, fleet.begun, here.suite)
    return write_columns_page(base / FLEET_PAGE, heading, decide_fleet(base, fleet, spec, demands), spec)


def write_trend(base: Path) -> Path:
    """Metrics over 40 runs, one of them with a change, and one with a long name."""
    write_runs(base, 40, step_at=20, factor=1.5, metrics=2)
    write_run(base, 41, [value_record(LONG, 5.0)])
    return write_page(trend_of(read_history(run_directories(base)), load_spec()), base / "trend")


WRITERS = {"report": write_report, "plan": write_plan, "fleet": write_fleet, "trend": write_trend}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Chromium's own sandbox needs another user than root.
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=[*sandbox, "--disable-gpu"])
        yield running
        running.close()


def opened(browser: Browser, path: Path, *, width: int, theme: str = "light", media: str = "screen") -> Page:
    """The page, with every message of its console and every request kept in `said`."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.emulate_media(media=media)  # type: ignore[arg-type]
    page.goto(path.as_uri())
    assert [message for message in said if not message.startswith(("file:", "data:"))] == []
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_every_word_is_seen(browser: Browser, written: Path, width: int, theme: str) -> None:
    page = opened(browser, written, width=width, theme=theme)
    page.evaluate("() => document.querySelectorAll('details').forEach(e => e.open = true)")
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(PALE) == []
    assert page.evaluate(SMALLEST) >= MIN_TEXT_PX
    page.close()


def test_paper_has_the_verdicts_and_what_details_hide(browser: Browser, written: Path, tmp_path: Path) -> None:
    page = opened(browser, written, width=PAPER, theme="dark", media="print")
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(HIDDEN) == 0
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True, print_background=True)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.close()


def test_points_of_the_trend_lead_to_their_runs(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, write_trend(tmp_path), width=DESK)
    links = page.evaluate("() => [...document.querySelectorAll('svg a')].map(e => e.getAttribute('xlink:href'))")
    assert "../run-0020" in links
    page.close()


BROKEN = {
    "a message": ("<script>console.log('x')</script>", "said"),
    "a resource": ("<img src='http://127.0.0.1:9/x.png'>", "said"),
    "a wide word": (f"<p style='white-space:nowrap'>{LONG}</p>", "clipped"),
    "a cut label": ("<svg viewBox='0 0 50 20' width='50'><text x='30' y='15'>too long</text></svg>", "clipped"),
    "two labels": ("<svg viewBox='0 0 99 30'><text y='15'>one</text><text y='16'>two</text></svg>", "overlapping"),
    "small text": ("<svg viewBox='0 0 2000 9'><text y='9' font-size='9'>small</text></svg>", "small"),
    "pale text": ("<table><td style='color:#aaaaaa;background:#ffffff'>pale</td></table>", "pale"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_page_is_found(browser: Browser, tmp_path: Path, fault: str) -> None:
    body, kind = BROKEN[fault]
    (tmp_path / "page.html").write_text(f"<!doctype html><meta name=viewport content='width=device-width'>{body}")
    if kind == "said":
        with pytest.raises(AssertionError):
            opened(browser, tmp_path / "page.html", width=PHONE)
        return
    page = opened(browser, tmp_path / "page.html", width=PHONE)
    found = {
        "clipped": bool(page.evaluate(CLIPPED)),
        "overlapping": bool(page.evaluate(OVERLAPPING)),
        "small": page.evaluate(SMALLEST) is not None and page.evaluate(SMALLEST) < MIN_TEXT_PX,
        "pale": bool(page.evaluate(PALE)),
    }
    assert found[kind]
    page.close()
