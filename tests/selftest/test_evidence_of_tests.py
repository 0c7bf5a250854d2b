"""A failing test shows its own VMs and its own line, and names directories that exist; other tests' VMs stay out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from hornet.results.outcomes import OUTCOMES_FILE, Case, read_outcomes

# VMs without a VMM, which print their name; `fleet` starts and removes them as Fleet does.
SAMPLE = """
from pathlib import Path
from types import SimpleNamespace
import pytest
from hornet.errors import GuestError
from hornet.vm.fleet import VM, Fleet
from hornet.vmm.failure import FailureSignal
from hornet_fixtures.evidence import RUN_EVIDENCE
from hornet_fixtures.vm_users import Workers, current_user

class FakeFleet:
    def __init__(self, evidence, home): self.evidence, self.home = evidence, home
    def start(self, name):
        vm = VM(1, name, self.home / name, None, {}, current_user())
        vm.directory.mkdir()
        (vm.directory / "console.log").write_text(f"CONSOLE OF {name}")
        console = SimpleNamespace(tail=lambda: f"CONSOLE OF {name}")
        vm.vmm = SimpleNamespace(failure=FailureSignal(name), console=console, alive=True, lane="x")
        Fleet.running.append(vm)
        return vm
    def remove(self, vm):
        Fleet.running.remove(vm)
        self.evidence.note_removal(vm)

@pytest.fixture(scope="session")
def fleet(pytestconfig, tmp_path_factory):
    return FakeFleet(pytestconfig.stash[RUN_EVIDENCE], tmp_path_factory.mktemp("vms"))
@pytest.fixture(scope="session")
def shared_future(fleet):
    with Workers(1) as pool:
        yield pool.submit(fleet.start, "shared")
@pytest.fixture(scope="session")
def shared_facts(shared_future): return shared_future.result()
@pytest.fixture
def own(fleet):
    vm = fleet.start("own")
    yield vm
    fleet.remove(vm)

def test_shared(shared_facts): assert not "wrong facts"
def test_own(own): raise GuestError("no answer", "look at it")
def test_removed(fleet):
    fleet.remove(fleet.start("gone"))
    assert not "wrong"
def test_set_up(shared_facts, broken): pass
@pytest.fixture
def broken(): raise GuestError("broken fixture")
def test_without(): assert not "no VM"
def test_passed(own, shared_facts): pass
"""


def run_sample(directory: Path, *options: str) -> tuple[dict[str, Case], str, dict[str, list[str]]]:
    """The cases by name, what pytest printed, and the names in each directory of evidence."""
    text = SAMPLE.replace('fleet.start("own")', 'fleet.start(f"own{len(list(fleet.home.iterdir()))}")')
    (directory / "test_sample.py").write_text(text)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}"]
    words += [f"--run-dir={directory}/run", *options]
    ended = subprocess.run(
        [*words, f"{directory}/test_sample.py"], cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False
    )
    kept = {path.name: sorted(file.name for file in path.iterdir()) for path in directory.glob("run/evidence/*")}
    return {case.name: case for case in read_outcomes(directory / "run" / OUTCOMES_FILE)[0]}, ended.stdout, kept


def evidence_of(directory: Path) -> dict[str, list[str]]:
    """The evidence that each test's outcome names."""
    found = {}
    for case in read_outcomes(directory / "run" / OUTCOMES_FILE)[0]:
        assert all((directory / "run" / path).is_dir() for path in case.evidence)
        found[case.name] = [path.split("-")[-1].rstrip("0123456789") for path in case.evidence]
    return found


def test_failing_tests_keep_the_evidence_of_their_own_vms(tmp_path: Path) -> None:
    _, shown, kept = run_sample(tmp_path)
    assert evidence_of(tmp_path) == {
        "test_shared": ["shared"],
        "test_own": ["own"],
        "test_removed": ["gone"],
        "test_set_up": ["shared"],
        "test_without": [],
        "test_passed": [],
    }
    assert len(kept) == 4
    assert all(names == ["console.log", "dmesg.txt", "phases.json"] for names in kept.values())
    assert shown.count("CONSOLE OF shared") == 2, "of its two tests"
    assert shown.count("CONSOLE OF own") == shown.count("CONSOLE OF gone") == 1
    assert not list((tmp_path / "run").glob("*.tmp-*")), "nothing stays parked"


def test_all_keeps_one_directory_of_a_shared_vm(tmp_path: Path) -> None:
    run_sample(tmp_path, "--evidence=all")
    named = evidence_of(tmp_path)
    assert sorted(named["test_passed"]) == ["own", "shared"]
    assert named["test_without"] == []
    assert len(list((tmp_path / "run" / "evidence").glob("*-shared_future-shared"))) == 1


def test_an_error_shows_the_tests_own_line(tmp_path: Path) -> None:
    cases, shown, _ = run_sample(tmp_path)
    number = SAMPLE.splitlines().index('def test_own(own): raise GuestError("no answer", "look at it")') + 1
    assert f"no answer\n  next: look at it\n\ntest_sample.py:{number}: in test_own\n" in shown
    assert "Traceback" not in shown
    assert cases["test_own"].reason == "no answer next: look at it"
    number = SAMPLE.splitlines().index('def broken(): raise GuestError("broken fixture")') + 1
    assert f"broken fixture\n\ntest_sample.py:{number}: in broken\n" in shown


@pytest.mark.parametrize("option", ["--tb=long", "--full-trace"])
def test_a_full_traceback_is_shown_on_request(option: str, tmp_path: Path) -> None:
    _, shown, _ = run_sample(tmp_path, option, "-k", "test_own")
    assert '>   def test_own(own): raise GuestError("no answer", "look at it")' in shown


@pytest.mark.parametrize(
    ("options", "why"),
    [(["--pause-on-failure"], "not a terminal"), (["--keep-vms", "-n1"], "leave out -n")],
    ids=["pause without a terminal", "keep with workers"],
)
def test_options_that_cannot_work_are_usage_errors(options: list[str], why: str, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text("def test_passes(): pass\n")
    words = [sys.executable, "-m", "pytest", "-p", "hornet_fixtures.plugin", f"--rootdir={tmp_path}", *options]
    words += [f"--run-dir={tmp_path}/run", str(tmp_path)]
    ended = subprocess.run(
        words, cwd=SOURCE, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr
