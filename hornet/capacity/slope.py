"""What one more clone takes of a host's memory, with its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hornet.results.bounds import CONFIDENCE
from hornet.scenarios.density import Point

# Blocks of equally many clones: what a single clone takes is noisier than the mean of a block.
BLOCKS = 8
# Fewer have no interval.
MIN_BLOCKS = 3


@dataclass(frozen=True)
class Slope:
    """MB per clone: the mean, the mean of each block, and the 95 % interval of the mean."""

    mb: float
    blocks: list[float]
    interval: tuple[float, float]


def slope_of(points: Sequence[Point]) -> Slope | None:
    """What one more clone took, without the first batch, which also took what all share; None for too few batches."""
    from scipy.stats import t

    clones = points[1:]
    count = min(BLOCKS, len(clones) - 1)
    if count < MIN_BLOCKS:
        return None
    ends = [clones[round(number * (len(clones) - 1) / count)] for number in range(count + 1)]
    blocks = [(end.taken_mb - begin.taken_mb) / (end.clones - begin.clones) for begin, end in pairwise(ends)]
    mean = (ends[-1].taken_mb - ends[0].taken_mb) / (ends[-1].clones - ends[0].clones)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * statistics.stdev(blocks) / math.sqrt(count)
    return Slope(mean, blocks, (mean - reach, mean + reach))
