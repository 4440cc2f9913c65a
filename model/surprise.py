"""How surprising an observation is: its two-sided tail probability in the forecast that was made before it.

The distribution runs straight between the forecast's quantiles (its value at the observation is Dawid's probability integral
transform, 1984) and falls off exponentially beyond the outermost ones, as a Laplace distribution does that has the same
median and the same outermost quantile. So the surprise of calibrated forecasts is uniform, and goes to zero smoothly for
extreme values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.ops import Array

SMALLEST = 1e-30  # of a distance between quantiles, which are equal where a series does not move
WIDEST = 1e6  # of a distance in units of another: keeps infinity out of the products


def surprise(y: Array, quantiles: Array, unit: Array, levels: Sequence[float]) -> Array:
    """Tail probability (…, 1) of observations y (…, 1) in quantiles (…, Q) at their levels; 1 at the median, near 0 far out.

    On a side of the median without a quantile, the unit (…, 1) of the forecast says how far values lie.
    """
    to_place, to_scale, of_unit = _places(levels)
    scale = quantiles @ to_scale
    scale = scale + unit @ of_unit if of_unit.any() else scale
    sides = np.ones((1, len(levels) + 1), np.float32)
    sides[0, -1] = -1  # beyond the highest quantile it is the other way round
    place = (y @ sides - quantiles @ to_place) / ops.clip(scale, SMALLEST)
    inside = ops.clip(place + 0.5, 0.0, 1.0)
    below = ops.concat([ops.exp(ops.clip(place, -WIDEST, 0.0)), inside])
    return ops.smallest(ops.concat([below, 1.0 - below]) @ _to_tails(levels))


def _places(levels: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """From quantiles (Q) to what values are compared with and in which units, (Q, Q + 1) each, and from the unit (1, Q + 1).

    For the lower end: the lowest quantile, and how far beyond it values lie on average, where they do. Then for each stretch
    between quantiles its middle, so that a value is in the middle of a stretch of no length, and its length. Then the upper end,
    where the place is negative.
    """
    Q, middle = len(levels), min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))
    each = np.eye(Q, dtype=np.float32)
    place = np.stack([each[0], *((each[i] + each[i + 1]) / 2 for i in range(Q - 1)), -each[-1]], 1)
    low, high = (each[middle] - each[0]) * _beyond(1 - levels[0]), (each[-1] - each[middle]) * _beyond(levels[-1])
    scale = np.stack([low, *(each[i + 1] - each[i] for i in range(Q - 1)), high], 1)
    of_unit = np.zeros((1, Q + 1), np.float32)
    of_unit[0, [0, -1]] = middle == 0, middle == Q - 1
    return place.astype(np.float32), scale.astype(np.float32), of_unit


def _beyond(level: float) -> float:
    """Mean excess of a Laplace distribution beyond its quantile at a level, in units of its distance from the median."""
    return 1 / math.log(0.5 / (1 - level)) if level > 0.5 else 0.0


def _to_tails(levels: Sequence[float]) -> NDArray[np.float32]:
    """Weights that sum what lies below y and what lies above it, of terms that are all positive: nothing cancels far out.

    The terms are exp(−excess) at both ends and how much of each stretch y has passed; then one less each. Of both functions
    only the places that they are for count. The smaller of the two is half of the surprise.
    """
    stretches, low, high = np.diff(np.array(levels)), levels[0], 1 - levels[-1]
    nothing = np.zeros_like(stretches)
    below = [low, *nothing, 0, 0, *stretches, 0, 0, *nothing, high, 0, *nothing, 0]
    above = [0, *nothing, high, 0, *nothing, 0, low, *nothing, 0, 0, *stretches, 0]
    return 2 * np.array([below, above], np.float32).T
