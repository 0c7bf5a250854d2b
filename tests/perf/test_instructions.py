"""The cost of booting, restoring and working, in instructions of an emulated guest: the same on a busy host."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from hornet.checks.health import health_probes
from hornet.checks.runtime_secrets import SecretTrial, injection_probes
from hornet.host.workspace import Workspace
from hornet.results.records import Record
from hornet.scenarios.agent_step import bare_repository, parts_for, run_part, step_server
from hornet.scenarios.page_server import pages_server
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S
from hornet.scenarios.side_by_side import MILLION
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet_fixtures.under_test import Image

# Slow: a run that judges an image answers within its time without it.
pytestmark = [pytest.mark.perf, pytest.mark.slow, pytest.mark.requirement("cost-instructions")]

Counted = TypeVar("Counted")
# Exit codes of a shell for a command that it could not run. What health checks and secrets must answer is judged by
# tests/conformance.
NOT_RUN = (126, 127)


@pytest.fixture(scope="module")
def counting_fleet(lane: Lane, new_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    if lane.accelerator != "tcg":
        pytest.skip(f"not judged: a real processor executes the guests of {lane}; use --lane qemu/tcg")
    with new_fleet(count_instructions=True) as fleet:
        yield fleet


def test_instructions_of_a_boot(
    counting_fleet: Fleet,
    kernel: Path,
    image: Image,
    spec: Spec,
    record_runs: Callable[..., Record],
    booted_subject: dict[str, str],
) -> None:
    def boot() -> dict[str, float]:
        vm = counting_fleet.boot(kernel, image.path, root=image.root)
        counts = _in_millions(vm)
        counting_fleet.remove(vm)
        return counts

    record_runs("instructions_boot", _side_by_side(boot, spec.instructions.rounds), subject=booted_subject)


def test_instructions_of_a_restore_and_of_commands(
    counting_fleet: Fleet,
    bundle: Bundle,
    spec: Spec,
    tier_name: str,
    record_runs: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    def restore() -> tuple[dict[str, float], dict[str, float]]:
        vm = counting_fleet.restore(bundle)
        vm.guest.wait_ready(spec.machine.ssh_timeout_s)
        vm.mark("first_command")
        counts = _in_millions(vm)
        commands = {name: count / MILLION for name, count in _counts_of_commands(vm, spec, tier_name)}
        counting_fleet.remove(vm)
        return counts, commands

    rounds = _side_by_side(restore, spec.instructions.rounds)
    record_runs("instructions_restore", [counts for counts, _ in rounds], subject=restored_subject)
    for name in rounds[0][1]:
        counts = [{"instructions": commands[name]} for _, commands in rounds]
        record_runs("instructions_command", counts, subject=restored_subject, command=name)


def test_instructions_of_an_agents_step(
    counting_fleet: Fleet,
    bundle: Bundle,
    spec: Spec,
    tier_name: str,
    workspace: Workspace,
    record_runs: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    files = bare_repository(spec.agent_step, workspace.run)

    def step() -> dict[str, float]:
        vm = counting_fleet.restore(bundle)
        vm.guest.wait_ready(spec.machine.ssh_timeout_s)
        assert vm.counter
        vm.mark("first_command")
        before = set(vm.counter.by_phase)
        with step_server(vm, spec, files) as server:
            for part in parts_for(spec, tier_name):
                run_part(vm, part, spec, server)
                vm.mark(part.name)
        counting_fleet.remove(vm)
        return {name: count for name, count in _in_millions(vm).items() if name not in before}

    record_runs("instructions_agent_step", _side_by_side(step, spec.instructions.rounds), subject=restored_subject)


def _side_by_side(measure: Callable[[], Counted], rounds: int) -> list[Counted]:
    """As many rounds at once as there are processors: a busy host does not change what is counted."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(lambda _: measure(), range(rounds)))


def _in_millions(vm: VM) -> dict[str, float]:
    assert vm.counter
    return {phase: count / MILLION for phase, count in vm.counter.by_phase.items()}


def _counts_of_commands(vm: VM, spec: Spec, tier_name: str) -> Iterator[tuple[str, int]]:
    """The instructions of each agent's command, and of each path through the health check and the secrets."""
    assert vm.counter
    trial = SecretTrial(vm.vm_id, secrets.token_hex(16))
    tools = {name: script for name, script in spec.instructions.commands.items() if name in spec.tools_of(tier_name)}
    paths = [*health_probes(spec.health, spec.network), *injection_probes(spec.secrets, trial)]
    gateway = str(spec.network.gateway_address.ip)
    with pages_server(vm.namespace, gateway, trial.pages(spec.secrets), spec.secrets.port):
        for name, script in {**tools, **{probe.name: probe.script for probe in paths}}.items():
            before = vm.counter.total
            result = vm.guest.run(script, FACTS_TIMEOUT_S)
            yield name, vm.counter.total - before
            assert result.exit_code not in NOT_RUN, f"{name}: {result}"
            assert name not in tools or result.exit_code == 0, f"{name}: {result}"
