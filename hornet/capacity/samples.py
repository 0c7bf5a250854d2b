"""A team's own profile, from a CSV of samples of agents: agent, time_s, memory_mb and, if known, cpu_cores.

memory_mb: the agent's private memory in its guest, in MB of 1,000,000 bytes. A sample above the agent's own rest by
more than a tenth of it and by BURST_MB is in a burst.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from hornet.capacity.burst import Array
from hornet.capacity.closed_form import SHOCKS
from hornet.errors import HostError
from hornet.foreign_file import first_problem, read_text
from hornet.spec.capacity import Profile
from hornet.text import similar_names

MAX_CSV_BYTES = 64 << 20
COLUMNS = ("agent", "time_s", "memory_mb")
CPU = "cpu_cores"
# A profile of fewer samples would be noise.
MIN_SAMPLES = 100
MIN_BURSTS = 20
BURST_MB = 5.0
BURST_SHARE = 0.1
# An agent is at rest for at least a tenth of the time, or what it takes then is never seen.
REST_QUANTILE = 0.1
MAX_POINTS = 200
MAX_CORRELATION = 0.99
NEXT = "docs/for-capacity-planners.md#profiles shows the format"


def profile_from_csv(path: Path, like: Profile) -> Profile:
    """The profile of the agents in a CSV file. What it does not show is assumed as in the profile `like`.

    Raises HostError for one that no profile can be made from.
    """
    return profile_of_samples(path, read_text(path, MAX_CSV_BYTES), like)


def profile_of_samples(path: Path, text: str, like: Profile) -> Profile:
    """The same for a file's text; its path is for the messages."""
    frame = _read(path, text)
    rest = frame.groupby("agent")["memory_mb"].transform(lambda sizes: sizes.quantile(REST_QUANTILE))
    above = frame["memory_mb"] - rest
    frame = frame.assign(above=above, busy=above > np.maximum(BURST_MB, BURST_SHARE * rest))
    bursts = _bursts(frame)
    if 0 < len(bursts) < MIN_BURSTS:
        raise HostError(
            f"{path}: {len(bursts)} bursts, expected none or at least {MIN_BURSTS}: their size cannot be estimated",
            "sample for longer",
        )
    sampled = ["idle_mb", "busy_share", "burst_mb", "burst_s"]
    correlation = _correlation(frame)
    assumed = ["burst_max_mb (the largest seen)"] if len(bursts) else []
    assumed += ["correlation"] if correlation is None else []
    cpu: dict[str, float] = {"cpu_idle": like.cpu_idle, "cpu_busy": like.cpu_busy}
    if CPU in frame:
        cpu = {name: _mean(frame.loc[frame["busy"] == busy, CPU]) for name, busy in (("cpu_idle", 0), ("cpu_busy", 1))}
    else:
        assumed += list(cpu)
    facts: dict[str, Any] = {
        "title": f"samples in {path.name}"[:200],
        "source": f"{path.name}: {len(frame)} samples of {frame['agent'].nunique()} agents, {len(bursts)} bursts",
        "kind": "measured",
        "idle_mb": _mean(rest),
        "busy_share": float(frame["busy"].mean()),
        "burst_mb": _points(bursts["size"].to_numpy(float)),
        "burst_max_mb": float(bursts["size"].max()) if len(bursts) else None,
        "burst_s": _mean(bursts["seconds"]) if len(bursts) else 1.0,
        "correlation": like.correlation if correlation is None else correlation,
        **cpu,
        "assumed": assumed,
    }
    try:
        return Profile.model_validate(facts)
    except ValidationError as error:
        raise HostError(f"{path}: no profile of {', '.join(sampled)}: {first_problem(error)}", NEXT) from error


def _read(path: Path, text: str) -> pd.DataFrame:
    """The samples, by agent and time. Raises HostError for columns, units, values or clocks that cannot be."""
    try:
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise HostError(f"{path}: not CSV: {error}", NEXT) from error
    for name in COLUMNS:
        if name not in frame:
            near = similar_names(name, map(str, frame.columns)).replace("did you mean", "is that the column")
            raise HostError(
                f"{path}: no column {name!r} among {', '.join(map(str, frame.columns[:9]))}{near}: other units and "
                "names are not guessed",
                NEXT,
            )
    for name in [*COLUMNS[1:], *([CPU] if CPU in frame else [])]:
        frame[name] = _numbers(path, frame[name], name)
    if len(frame) < MIN_SAMPLES:
        raise HostError(f"{path}: {len(frame)} samples, expected at least {MIN_SAMPLES}", "sample for longer")
    back = frame.groupby("agent", sort=False)["time_s"].diff() <= 0
    if back.any():
        line = int(np.flatnonzero(back)[0])
        raise HostError(
            f"{path}, line {line + 2}: time_s {frame['time_s'].iloc[line]:g} of agent {frame['agent'].iloc[line]!r} is "
            "not later than the sample before it",
            "sort the samples by time and remove duplicates, or find out why the clock went back",
        )
    return frame.sort_values(["agent", "time_s"], kind="stable", ignore_index=True)


def _numbers(path: Path, column: pd.Series[str], name: str) -> pd.Series[float]:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0) | (values > 1e12))
    if len(wrong):
        line = int(wrong[0])
        raise HostError(
            f"{path}, line {line + 2}: {name} is {column.iloc[line]!r}, expected a number of 0 or more",
            "correct or remove the line",
        )
    return values


def _bursts(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per burst: its largest size above rest in MB, and its seconds."""
    changed = (frame["busy"] != frame["busy"].shift()) | (frame["agent"] != frame["agent"].shift())
    step_s = float(frame.groupby("agent")["time_s"].diff().median())
    busy = frame.assign(burst=changed.cumsum())[frame["busy"]]
    found = busy.groupby("burst").agg(size=("above", "max"), samples=("above", "size"))
    return found.assign(seconds=found["samples"] * step_s)


def _points(sizes: Array) -> list[list[float]]:
    """Quantiles of the sizes, at the middle of each sample's share, at most MAX_POINTS."""
    count = min(len(sizes), MAX_POINTS)
    shares = (np.arange(count) + 0.5) / count if count else np.array([])
    return [[float(share), float(np.quantile(sizes, share))] for share in shares]


def _correlation(frame: pd.DataFrame) -> float | None:
    """The correlation with which agents are busy as often at the same time as here; None if no two share a clock."""
    together = frame.groupby("time_s")["busy"].agg(["sum", "size"])
    pairs = float((together["size"] * (together["size"] - 1)).sum())
    share = float(frame["busy"].mean())
    if not pairs or not 0 < share < 1:
        return None
    both = float((together["sum"] * (together["sum"] - 1)).sum()) / pairs

    def excess(correlation: float) -> float:
        shares = ndtr((ndtri(share) + np.sqrt(correlation) * SHOCKS) / np.sqrt(1 - correlation))
        return float((shares**2).mean()) - both

    if both <= share**2:
        return 0.0
    if excess(MAX_CORRELATION) < 0:
        return MAX_CORRELATION
    return float(brentq(excess, 0.0, MAX_CORRELATION))


def _mean(values: pd.Series[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0
