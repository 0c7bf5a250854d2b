"""A profile from samples of agents: known truth comes back, and what cannot be a sample is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from hornet.capacity.samples import profile_from_csv
from hornet.errors import HornetError
from hornet.spec.capacity import Profile
from hornet.spec.model import load_spec

AGENTS, MOMENTS = 40, 500


def from_csv(path: Path) -> Profile:
    return profile_from_csv(path, load_spec().profiles["claude-code"])


def write_samples(path: Path, correlation: float, busy_share: float = 0.3) -> Path:
    """Agents with 200 MB at rest, busy independently from sample to sample, with bursts of 100 to 300 MB."""
    chance = np.random.default_rng(3)
    shock = chance.standard_normal(MOMENTS)[:, np.newaxis]
    busy = chance.random((MOMENTS, AGENTS)) < ndtr(
        (ndtri(busy_share) + np.sqrt(correlation) * shock) / np.sqrt(1 - correlation)
    )
    memory = 200 + busy * chance.uniform(100, 300, busy.shape)
    lines = ["agent,time_s,memory_mb,cpu_cores"]
    for moment in range(MOMENTS):
        for agent in range(AGENTS):
            cores = 0.8 if busy[moment, agent] else 0.05
            lines.append(f"a{agent},{moment * 2},{memory[moment, agent]:.3f},{cores}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("correlation", [0.0, 0.25])
def test_the_profile_behind_samples_is_found(correlation: float, tmp_path: Path) -> None:
    found = from_csv(write_samples(tmp_path / "agents.csv", correlation))
    assert found.idle_mb == pytest.approx(200, abs=1)
    assert found.busy_share == pytest.approx(0.3, abs=0.04)
    assert found.correlation == pytest.approx(correlation, abs=0.06)
    assert [found.cpu_idle, found.cpu_busy] == pytest.approx([0.05, 0.8])
    # A burst of several samples has the largest of them, and its mean length is 1 / (1 - 0.3) samples if independent.
    assert 200 < {round(share, 4): size for share, size in found.burst_mb}[0.5025] < 240
    assert 290 < (found.burst_max_mb or 0) <= 301
    assert 2 <= found.burst_s < 5
    assert found.kind == "measured"
    assert "burst_max_mb (the largest seen)" in found.assumed


def test_agents_that_never_burst_are_at_rest(tmp_path: Path) -> None:
    path = tmp_path / "calm.csv"
    path.write_text("agent,time_s,memory_mb\n" + "".join(f"a,{second},150\n" for second in range(200)))
    found = from_csv(path)
    assert (found.idle_mb, found.busy_share, found.burst_mb) == (150, 0, [])
    assert "cpu_idle" in found.assumed


def changed(path: Path, old: str, new: str) -> Path:
    text = write_samples(path, 0).read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("memory_mb", "memory_mib", "no column 'memory_mb' .*memory_mib.*other units"),
        ("a3,0,2", "a3,0,-2", r"line 5: memory_mb is '-2\d\d.*expected a number of 0 or more"),
        ("a3,0,2", "a3,0,nan", "line 5: memory_mb is 'nan"),
        ("a3,0,2", "a3,inf,2", "line 5: time_s is 'inf"),
        ("a3,2,", "a3,0,", "line 45: time_s 0 of agent 'a3' is not later"),
        ("a3,2,", "a3,2,1,1,1,1,", "not CSV"),
        ("0.05\n", "much\n", "cpu_cores is 'much'"),
    ],
)
def test_impossible_samples_are_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HornetError, match=said):
        from_csv(changed(tmp_path / "agents.csv", old, new))


def test_too_few_samples_or_bursts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("agent,time_s,memory_mb\na,0,1\n")
    with pytest.raises(HornetError, match="1 samples, expected at least 100"):
        from_csv(path)
    sizes = [100] * 198 + [300, 100]
    path.write_text("agent,time_s,memory_mb\n" + "".join(f"a,{time},{size}\n" for time, size in enumerate(sizes)))
    with pytest.raises(HornetError, match="1 bursts, expected none or at least 20"):
        from_csv(path)
