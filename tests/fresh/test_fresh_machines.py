"""README's commands on machines that nothing was done to, as an ordinary user with sudo, a closed home and umask 027.

Ubuntu is not among them: its mirror could not be reached from where this was written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornet.host.facts import require_root
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from tests.fresh.fresh_machine import HOME, NEWEST, RELEASES, SUITE, FreshMachine, Outcome

SELF_TEST_TIMEOUT_S = 2700
WHOLE_TIMEOUT_S = 7200
SHORT_TIMEOUT_S = 120

pytestmark = pytest.mark.timeout(2 * WHOLE_TIMEOUT_S)


@pytest.fixture
def new_machine(workspace: Workspace) -> Iterator[Callable[[str], FreshMachine]]:
    """Makes machines, which are removed with the test."""
    require_root()
    made: list[FreshMachine] = []

    def make(release: str) -> FreshMachine:
        root = Path(tempfile.mkdtemp(prefix=f"hornet-fresh-{release}-"))
        root.chmod(0o755)
        made.append(FreshMachine(root, workspace.cache / "fresh" / release))
        return FreshMachine.make(release, root, workspace.cache / "fresh" / release)

    yield make
    for machine in made:
        machine.remove()


def run_and_show(machine: FreshMachine, release: str, command: str, timeout_s: float, progress: Progress) -> Outcome:
    """Run a command with its progress, then say how long it took and what it counted."""
    with progress.step("fresh", f"{RELEASES[release]}: {command}"):
        outcome = machine.run(command, timeout_s=timeout_s, on_line=progress.update)
    for line in (f"exit code {outcome.exit_code} after {outcome.took_s:.0f} s", *outcome.counts):
        progress.say(f"fresh: {RELEASES[release]}: {line}")
    return outcome


def assert_the_owner_needs_no_sudo(machine: FreshMachine) -> None:
    """After a command with sudo: what needs no root works without it, and what needs it says so."""
    helped = machine.run("./hornetos --help && ./hornetos guide", timeout_s=SHORT_TIMEOUT_S)
    assert helped.exit_code == 0, helped.output
    roots = machine.run(f"find {HOME} -path {SUITE}/.hornet -prune -o -user root -print", timeout_s=SHORT_TIMEOUT_S)
    assert (roots.exit_code, roots.output) == (0, ""), "root's files stay in the checkout"
    written = machine.run(".hornet/venv/bin/pytest -q tests/selftest/test_facts.py", timeout_s=SHORT_TIMEOUT_S)
    assert written.exit_code == 0, written.output
    refused = machine.run(".hornet/venv/bin/pytest -m conformance -q", timeout_s=SHORT_TIMEOUT_S)
    assert refused.exit_code not in (0, 1), refused.output
    assert "this needs root" in refused.output
    assert "next: sudo" in refused.output


def test_the_self_tests_pass_on_the_newest_release(
    new_machine: Callable[[str], FreshMachine], progress: Progress
) -> None:
    machine = new_machine(NEWEST)
    command = "sudo ./hornetos test -e selftest"
    outcome = run_and_show(machine, NEWEST, command, SELF_TEST_TIMEOUT_S, progress)
    assert outcome.exit_code == 0, outcome.output[-8000:]
    assert outcome.counts
    assert_the_owner_needs_no_sudo(machine)


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_both_commands_pass_from_nothing(
    release: str, new_machine: Callable[[str], FreshMachine], progress: Progress
) -> None:
    """Takes half an hour per release: `pytest tests/fresh --slow -k trixie`."""
    machine = new_machine(release)
    for command in ("sudo ./hornetos run", "sudo ./hornetos test"):
        outcome = run_and_show(machine, release, command, WHOLE_TIMEOUT_S, progress)
        assert outcome.exit_code == 0, outcome.output[-20_000:]
    assert_the_owner_needs_no_sudo(machine)
