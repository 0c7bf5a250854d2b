"""`hornetos capacity`: the question that people ask, its answer in every form, and inputs that cannot be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from hornet.capacity.footprint import METRIC, WORKING_METRIC
from hornet.capacity.limits import kernel_bounds, read_limits
from hornet.errors import HornetError
from hornet.results.records import Record
from hornet.spec.capacity import Limit
from hornet.spec.model import load_spec
from hornet_cli.app import app
from tests.support import synthetic_run as synthetic

QUESTION = [
    *("--agents", "500", "--idle", "0.7", "--risk", "0.01"),
    *("--memory-mb", "64000", "--cores", "16", "--vm-memory-mb", "4096"),
]
FAST = "[capacity]\nscenarios = 1000\n"


def memory_record(state: str = "restored", more_mb: float = 0, **changes: Any) -> Record:
    runs = [
        {"guest_private": 5.0 + more_mb + step, "guest_shared": 9.0, "vmm_private": 14.0, "vmm_shared": 1.0}
        for step in (-0.2, 0.0, 0.2)
    ]
    facts: dict[str, Any] = {"unit": "MB", "lane": "qemu/tcg", "host": synthetic.HOST, **changes}
    name = WORKING_METRIC if state == "worked" else METRIC
    return Record.of_runs(name, runs, dimensions={"clones": 4, "state": state}, **facts)


def planned(tmp_path: Path, *options: str, records: list[Record] | None = None, overlay: str = FAST) -> Result:
    (tmp_path / "fast.toml").write_text(overlay)
    run = tmp_path / "run"
    if not run.exists():
        synthetic.make_run(run, records=records or [memory_record(), memory_record("worked", 60)])
    return CliRunner().invoke(app, ["--overlay", str(tmp_path / "fast.toml"), "capacity", str(run), *options])


def test_the_question_gets_one_sentence_and_its_grounds(tmp_path: Path) -> None:
    found = planned(tmp_path, *QUESTION, "--what-if", "cpu_busy=0.1,busy_share=0.1")
    assert found.exit_code == 0, found.output
    assert found.output.startswith("500 agents (claude-code) need ")
    text = " ".join(found.output.split())
    for part in (
        "hosts of 64 GB and 16 cores",
        "A plan, not a verdict. emulated: standard (VMM and guest, private; shared once)",
        "cpu_busy), limit (processors), memory after a burst",
        "and 1 spare host in case one is lost",
        "Within a year: with",
        "VMs per host, measured with 4 in run run",
        "First bound: processors",
        "Next: memory",
        "95 % interval",
        "normal approximation",
        "If the memory of a burst is kept by the VM:",
        "the guest ends the agent's process",
        "cpu_busy = 0.1, busy_share = 0.1",
        "✗",
        "arXiv 2602.09345",
    ):
        assert part in text, part


def test_json_has_the_answer_inputs_and_curve(tmp_path: Path) -> None:
    found = planned(tmp_path, *QUESTION, "--json", "--csv", str(tmp_path / "curve.csv"))
    plan = json.loads(found.output)
    (only,) = plan["types"]
    assert only["hosts"] == -(-500 // only["plan"]["vms"])
    assert plan["answer"].startswith("500 agents")
    assert [bound["name"] for bound in only["plan"]["bounds"]][:2] == ["processors", "memory"]
    assert all(row["source"] for row in plan["inputs"])
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert list(curve.columns) == ["host", "vms", "risk", "low", "high"]
    assert (curve["low"] <= curve["risk"]).all()
    assert (curve["risk"] <= curve["high"]).all()


def test_page_has_pictures_and_every_table(tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    found = planned(tmp_path, *QUESTION, "--host", "<b>a</b>:64000:16:3", "--host", "b:256000:64", "--page", str(page))
    assert found.exit_code == 0, found.output
    text = page.read_text()
    assert text.count("<svg role=") == 10, "five pictures, each for a page and for a phone"
    assert "<b>a</b>" not in text, "names are text"
    assert 'class="lane" data-of="Known">assumed<' in text, "a word of a narrow column is never broken"
    assert "e+04" not in text
    assert not re.search(r"""(src|href)=["']http|url\(http|@import""", text), "nothing is loaded"


def test_mixed_agents_fill_hosts_in_order(tmp_path: Path) -> None:
    hosts = ["--host", "small:16000:8:2", "--host", "large:256000:64"]
    mixed = ["--group", "300:claude-code:standard:4096", "--group", "200:worked"]
    plan = json.loads(planned(tmp_path, *mixed, *hosts, "--json").output)
    small, large = plan["types"]
    assert small["hosts"] == 2
    assert small["agents"] == 2 * small["plan"]["vms"]
    assert small["agents"] + large["agents"] == 500


def test_too_few_hosts_are_exit_code_1(tmp_path: Path) -> None:
    found = planned(tmp_path, *QUESTION, "--host", "only:64000:16:1")
    assert found.exit_code == 1
    assert "do not fit" in found.output


def test_a_run_that_was_edited_is_named(tmp_path: Path) -> None:
    assert "not intact" not in planned(tmp_path).output
    with (tmp_path / "run" / "records.jsonl").open("a") as stream:
        stream.write("\n")
    text = " ".join(planned(tmp_path).output.split())
    assert "not intact: run run (records.jsonl: changed after the run ended" in text


def test_a_missing_spare_host_is_named(tmp_path: Path) -> None:
    given = [*QUESTION, "--host", "only:64000:16:1", "--agents", "20"]
    found = planned(tmp_path, *given)
    assert (found.exit_code, "and only 0 of 1 spare hosts" in found.output) == (0, True)
    assert planned(tmp_path, *given, "--spare-hosts", "1").exit_code == 1
    found = planned(tmp_path, *given, "--spare-hosts", "0")
    assert (found.exit_code, "and no host to spare" in found.output) == (0, True)


def test_a_risk_over_a_year_allows_fewer_vms(tmp_path: Path) -> None:
    plans = [json.loads(planned(tmp_path, *QUESTION, "--json", *more).output) for more in ([], ["--over-year"])]
    moment, year = ({it["name"]: it["vms"] for it in plan["types"][0]["plan"]["bounds"]} for plan in plans)
    assert "memory_year" not in moment
    assert 0 < year["memory_year"] < moment["memory"]
    assert year["memory_year"] == plans[0]["types"][0]["year"]["allowed"]


def test_without_a_run_the_newest_one_with_memory_counts_else_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    reports = tmp_path / "reports"
    for name, records, begun in (("old", [memory_record()], "2026-01-01"), ("new", [], "2026-01-02")):
        synthetic.date_run(synthetic.make_run(reports / name, records=records), f"{begun}T00:00:00+00:00")

    def source(*words: str) -> str:
        found = CliRunner().invoke(app, ["capacity", *words, "--agents", "2", "--json"])
        return str(next(row["source"] for row in json.loads(found.output)["inputs"] if "shared once" in row["name"]))

    assert source().startswith("run old, ")
    assert source("latest").startswith("run old, ")
    assert source("--lane", "qemu/kvm").startswith("the spec, without a run (")
    (reports / "old" / "records.jsonl").unlink()
    assert source().startswith("the spec, without a run (")
    of_no_run = CliRunner().invoke(app, ["capacity", "--group", "5:claude-code:micro"])
    assert "measured by none of the runs (the spec: standard)" in str(of_no_run.exception)


def test_options_reach_the_scenario(tmp_path: Path) -> None:
    found = planned(
        tmp_path, *QUESTION, "--kept", "--seed", "5", "--correlation", "0", "--reserved-mb", "900", "--json"
    )
    scenario = json.loads(found.output)["scenario"]
    assert (scenario["kept"], scenario["seed"], scenario["risk"]) == (True, 5, 0.01)
    assert scenario["host"] == {"name": "host", "memory_mb": 64000, "reserved_mb": 900, "cores": 16, "count": None}
    (group,) = scenario["groups"]
    assert group["vm_memory_mb"] == 4096
    assert group["profile"]["busy_share"] == pytest.approx(0.3)
    assert group["profile"]["given"] == ["busy_share", "correlation"]
    assert group["footprint"] == {"private_mb": 19, "shared_mb": 40}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--group 5", "expected AGENTS:PROFILE"),
        ("--group 0:claude-code", "whole number of 1 or more"),
        ("--group nan:claude-code", "'nan', expected a number"),
        ("--group 5:claude-cod", "did you mean claude-code"),
        ("--group 5:claude-code:micro", "tier 'micro': measured by none of the runs"),
        ("--host a:64000", "expected NAME:MEMORY_MB:CORES"),
        ("--host a:500:16", "nothing is left for VMs"),
        ("--vm-memory-mb 128", "do not fit into a VM of 128 MB"),
        ("--profile at-rest --idle 0.5", "burst_mb has no point"),
        ("--what-if idle=3", "no such input; did you mean idle_mb"),
        ("--what-if busy_share=1.5", "less than or equal to 1"),
        ("--what-if busy_share=often", "'often', expected a number"),
        ("--what-if memory_mb=900", "nothing is left for VMs"),
        ("--memory-mb 1100 --agents 1", "not one VM fits"),
        ("--lane firecracker/kvm", "no record of memory per VM in lane firecracker/kvm"),
    ],
)
def test_impossible_inputs_are_named(options: str, said: str, tmp_path: Path) -> None:
    found = planned(tmp_path, *options.split())
    assert isinstance(found.exception, HornetError), found.output
    assert said in str(found.exception)


@pytest.mark.parametrize("options", ["--risk 0", "--risk nan", "--idle 1.1", "--correlation 1", "--agents 0"])
def test_impossible_options_are_rejected(options: str, tmp_path: Path) -> None:
    found = planned(tmp_path, *options.split())
    assert found.exit_code == 2
    assert "Input should be" in found.output


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (memory_record(unit="MiB"), "ram_per_vm is in 'MiB', expected MB"),
        (memory_record().model_copy(update={"parts": {}}), "it has no parts"),
        (
            memory_record().model_copy(update={"value": float("nan")}),
            "no record of memory per VM: records.jsonl, line 1",
        ),
    ],
)
def test_unusable_records_are_named(record: Record, said: str, tmp_path: Path) -> None:
    found = planned(tmp_path, records=[record])
    assert isinstance(found.exception, HornetError), found.output
    assert said in str(found.exception)


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("busy_share = 2", "less than or equal to 1"),
        ("burst_mb = [[0.95, 518], [0.5, 600]]", "shares must rise"),
        ("burst_mb = [[0.5, 518], [0.95, 100]]", "no size may be smaller"),
        ("burst_mb = [[1.0, 518]]", "less than 1"),
        ("burst_max_mb = 100", "less than a point"),
        ("idle_mb = nan", "finite number"),
        ("idle_gb = 1", "not permitted"),
    ],
)
def test_impossible_profiles_are_named(profile: str, said: str, tmp_path: Path) -> None:
    found = planned(tmp_path, overlay=f"{FAST}[profiles.claude-code]\n{profile}\n")
    assert isinstance(found.exception, HornetError), found.output
    assert said in str(found.exception).replace("\n", " ")
    assert "profiles.claude-code" in str(found.exception)


def test_limits_of_this_host_are_read(tmp_path: Path) -> None:
    found = read_limits(load_spec().capacity.limits)
    assert found["processes"].capacity == float(Path("/proc/sys/kernel/pid_max").read_text())
    assert found["processes"].kind == "measured"
    assert found["taps"] == load_spec().capacity.limits["taps"]


def test_a_limit_of_one_process_binds_only_if_one_vmm_exceeds_it() -> None:
    def limit(capacity: float) -> Limit:
        facts = {"title": "maps", "per_vm": 400, "capacity": capacity, "per_process": True}
        return Limit.model_validate({**facts, "kind": "given", "source": "made up"})

    assert kernel_bounds({"maps": limit(65530)}) == []
    assert [bound.vms for bound in kernel_bounds({"maps": limit(300)})] == [0]


def test_a_hundred_thousand_agents_are_planned_at_once(tmp_path: Path) -> None:
    """Time does not grow with the agents: a host is simulated, not the fleet."""
    plan = json.loads(planned(tmp_path, *QUESTION, "--agents", "100000", "--json").output)
    assert plan["types"][0]["hosts"] == -(-100_000 // plan["types"][0]["plan"]["vms"])
