"""Upper bounds of percentiles, with 95 % confidence and without an assumption on the distribution.

Samples of one session resemble each other: they share the host's state, the pages of the snapshot's files, the pool. So
n samples of several sessions say less than n independent ones. The bound counts them as fewer, by the design effect
that their sessions show, and by Student's t for few sessions.

Sources: G. J. Hahn, W. Q. Meeker, Statistical Intervals (1991), 5.2; E. L. Korn, B. I. Graubard, Confidence intervals
for proportions with small expected number of positive counts estimated from survey data, Survey Methodology 24 (1998).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95


def upper_bound(ordered: Sequence[float], percent: int) -> float | None:
    """The value that a percentile of independent samples does not exceed; None if there are too few for one.

    The smallest sample whose rank is exceeded by the number of samples below the percentile with at most 5 %
    probability. 59 samples are needed for the 95th percentile, 299 for the 99th.
    """
    from scipy.stats import binom

    rank = int(binom.ppf(CONFIDENCE, len(ordered), percent / 100)) + 1
    return ordered[rank - 1] if rank <= len(ordered) else None


def upper_bound_of_sessions(sessions: Sequence[Sequence[float]], percent: int) -> float | None:
    """The same for samples in several sessions of one size; None if they count as too few. One session: as above."""
    import numpy as np
    from scipy.stats import beta

    samples = sorted(sample for session in sessions for sample in session)
    if len(sessions) < 2:
        return upper_bound(samples, percent)
    effective = effective_samples(sessions, percent)
    below = np.arange(1, len(samples) + 1) / len(samples) * effective
    # The bound of Clopper and Pearson from below, for the share of values that are at most each sample.
    shares = beta.ppf(1 - CONFIDENCE, below, effective - below + 1)
    enough = np.flatnonzero(shares >= percent / 100)
    return samples[enough[0]] if len(enough) else None


def effective_samples(sessions: Sequence[Sequence[float]], percent: int) -> float:
    """As how many independent samples those of the sessions count for a percentile."""
    import numpy as np
    from scipy.stats import t

    pooled = np.concatenate([np.asarray(session) for session in sessions])
    threshold = np.quantile(pooled, percent / 100, method="inverted_cdf")
    shares = np.array([np.mean(np.asarray(session) <= threshold) for session in sessions])
    share, count = float(np.mean(pooled <= threshold)), len(pooled)
    independent = share * (1 - share) / count
    # Where no sample is above the percentile, the sessions show nothing of their effect: then each counts once.
    effect = float(shares.var(ddof=1)) / len(sessions) / independent if independent else count / len(sessions)
    few = t.ppf(1 - CONFIDENCE, count - 1) / t.ppf(1 - CONFIDENCE, len(sessions) - 1)
    return float(count / max(1.0, effect) * few**2)


def samples_needed(percent: int) -> int:
    """How many independent samples upper_bound() needs: until the largest exceeds the percentile with confidence."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percent / 100))
