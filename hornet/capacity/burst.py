"""The size of a burst as a distribution: given by points, capped by what the VM has, with its moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]
# Normal scores beyond this have a probability of 1e-19: no simulation draws them.
SCORE_LIMIT = 9.0
# Midpoints at which the quantile function is summed for the moments: errors below 0.1 % for the spec's profiles.
STEPS = 20_001


@dataclass(frozen=True)
class Burst:
    """A distribution of MB. points: [share of bursts, MB]; ln(MB) is linear in the normal score, beyond them too.

    Two points are a lognormal distribution, and many are an empirical one. cap_mb: no burst is larger.
    """

    points: tuple[tuple[float, float], ...]
    cap_mb: float

    @classmethod
    def of(cls, points: Sequence[Sequence[float]], cap_mb: float) -> Burst:
        return cls(tuple((point[0], point[1]) for point in points), max(0.0, cap_mb))

    def quantile(self, share: Array) -> Array:
        """MB that a share of the bursts does not exceed; 0 MB for no burst (a share of 0 or less)."""
        sizes = np.zeros_like(share)
        if not self.points or not self.cap_mb:
            return sizes
        some = share > 0
        scores, logs = self._extended()
        found = np.exp(np.interp(ndtri(np.minimum(share[some], 1.0)), scores, logs))
        sizes[some] = np.minimum(found, self.cap_mb)
        return sizes

    def share_above(self, size_mb: float) -> float:
        """The share of the bursts that are larger than `size_mb`."""
        if not self.points or size_mb >= self.cap_mb:
            return 0.0
        if size_mb <= 0:
            return 1.0
        scores, logs = self._extended()
        # Of several points with one size, the last counts: those bursts are not larger.
        last = np.append(np.diff(logs) > 0, True)
        return float(ndtr(-np.interp(np.log(size_mb), logs[last], scores[last], left=-SCORE_LIMIT, right=SCORE_LIMIT)))

    def moments(self) -> tuple[float, float]:
        """The mean in MB, and the mean of the squares in MB²."""
        sizes = self.quantile((np.arange(STEPS) + 0.5) / STEPS)
        return float(sizes.mean()), float((sizes**2).mean())

    def _extended(self) -> tuple[Array, Array]:
        """Normal scores and ln(MB) of the points, with the first and last slope continued to the limits."""
        scores = ndtri(np.array([share for share, _ in self.points]))
        logs = np.log(np.array([size for _, size in self.points]))
        if len(scores) == 1:
            return np.array([-SCORE_LIMIT, SCORE_LIMIT]), np.repeat(logs, 2)
        slopes = np.diff(logs) / np.diff(scores)
        first = logs[0] - slopes[0] * (scores[0] + SCORE_LIMIT)
        last = logs[-1] + slopes[-1] * (SCORE_LIMIT - scores[-1])
        return np.concatenate([[-SCORE_LIMIT], scores, [SCORE_LIMIT]]), np.concatenate([[first], logs, [last]])
