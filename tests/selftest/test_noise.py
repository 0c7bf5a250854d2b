"""A measurement on a noisy host is marked, and refused by a policy that demands a quiet one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hornet.host.noise import Reading, read_host
from hornet.results.gate import Answer, Demands, decide
from hornet.results.noise import Noise, noise_problems
from hornet.results.policy import Policy
from hornet.results.records import Record
from hornet.results.run import Run, load_run
from hornet.results.verdict import judge_record, noisy
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from reports.frames import records_frame
from tests.support.synthetic_run import HOST, make_run

SPEC = load_spec()
BEFORE = Reading(
    clock_ns=0,
    wall_clock_ns=0,
    ticks=1000,
    busy_ticks=500,
    steal_ticks=0,
    own_ticks=100,
    load_per_core=0.1,
    mhz=3000,
    other_vms=0,
)
QUIET = replace(BEFORE, clock_ns=10**9, wall_clock_ns=10**9, ticks=2000, busy_ticks=900, own_ticks=490)
# By what it shows: how the reading after a measurement differs from that of a quiet host.
NOISY: dict[str, dict[str, Any]] = {
    "the hypervisor took 5.0% of the time": {"steal_ticks": 50},
    "other processes used 31.0%": {"busy_ticks": 1200},
    "2 other VMs ran": {"other_vms": 2},
    "the frequency went from 3000 to 1200 MHz": {"mhz": 1200.0},
    "the clock was set by +3600000 ms": {"wall_clock_ns": 3601 * 10**9},
}


def boot(noise: Noise | None) -> Record:
    return Record(
        name="cold_boot",
        value=300,
        unit="ms",
        direction="lower",
        lane="firecracker/kvm",
        host=HOST,
        noise=noise,
    )


def noise_of(changes: dict[str, Any]) -> Noise:
    return Noise.between(BEFORE, replace(QUIET, **changes))


def test_a_quiet_host_is_not_marked() -> None:
    assert list(noise_problems(noise_of({}), SPEC.noise)) == []
    assert "noisy" not in judge_record(SPEC, "cold_boot", boot(noise_of({}))).reason


@pytest.mark.parametrize("shown", NOISY)
def test_each_kind_of_noise_is_marked_by_name(shown: str) -> None:
    record = boot(noise_of(NOISY[shown]))
    (sentence,) = noisy([record], SPEC.noise)
    assert shown in sentence
    assert shown in judge_record(SPEC, "cold_boot", record).reason


def test_noise_does_not_mark_what_is_no_time() -> None:
    size = boot(noise_of({"steal_ticks": 500})).model_copy(update={"name": "kernel_size", "unit": "MB"})
    assert noisy([size], SPEC.noise) == []


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (noise_of({}), None),
        (noise_of({"steal_ticks": 500}), "cold_boot: the hypervisor took 50.0% of the time"),
        (None, "cold_boot has no record of its noise"),
    ],
    ids=["quiet", "noisy", "unknown"],
)
def test_a_policy_that_demands_a_quiet_host_refuses_a_noisy_one(tmp_path: Path, noise: Noise | None, said: str) -> None:
    run = load_run(make_run(tmp_path / "run", records=[boot(noise)]))
    requirements = load_requirements()
    indifferent, strict = (
        decide(SPEC, run, Demands(requirements, policy=Policy(require_quiet=quiet))) for quiet in (False, True)
    )
    added = [sentence for sentence in strict.unjudged if sentence not in indifferent.unjudged]
    assert [said in sentence for sentence in added] == ([True] if said else [])
    assert not said or strict.answer is not Answer.PASSED


def test_a_busy_process_of_this_run_is_not_noise_and_another_one_is(tmp_path: Path) -> None:
    """The processor time of a child counts as this run's, whether it still runs or has ended."""
    before = read_host()
    spin = "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass"
    subprocess.run([sys.executable, "-c", spin], check=True)
    after = read_host()
    own_s = (after.own_ticks - before.own_ticks) / os.sysconf("SC_CLK_TCK")
    assert own_s >= 0.9
    assert after.ticks > before.ticks
    assert after.busy_ticks > before.busy_ticks


def test_vms_of_others_are_counted_and_own_ones_are_not(tmp_path: Path) -> None:
    vmm = tmp_path / "firecracker"
    vmm.symlink_to("/bin/sleep")
    before = read_host().other_vms
    own = subprocess.Popen([vmm, "60"])
    # In a session of its own, whose parent has ended: no descendant of this process.
    subprocess.run(["setsid", "--fork", str(vmm), "5"], check=True)
    try:
        end = time.monotonic() + 5
        while (found := read_host().other_vms) == before and time.monotonic() < end:
            time.sleep(0.05)
        assert found == before + 1
    finally:
        own.kill()
        own.wait()


def test_a_data_frame_has_the_noise_of_each_sample() -> None:
    frame = records_frame([replace(Run(Path("run")), records=[boot(noise_of({"other_vms": 2}))])])
    assert list(frame["noise_other_vms"]) == [2]
