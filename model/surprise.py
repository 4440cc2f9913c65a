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
    Q = len(levels)
    edges = ops.take(quantiles, np.array([0, Q - 1]), -1)
    outside = (y - edges) * np.array([-1, 1], np.float32) / ops.clip(_scale(quantiles, edges, unit, levels), SMALLEST)
    terms = [ops.exp(0.0 - ops.clip(outside, 0.0, WIDEST))]
    if Q > 1:
        low, high = quantiles[..., 0 : Q - 1], quantiles[..., 1:]
        # from the middle of each stretch, so that a value is in the middle of a stretch of no length
        passed = (y - (low + high) * 0.5) / ops.clip(high - low, SMALLEST)
        terms.append(ops.clip(passed + 0.5, 0.0, 1.0))
    below = ops.concat(terms)
    tails = ops.concat([below, 1.0 - below]) @ _to_tails(levels)
    return ops.minimum(tails[..., 0:1], tails[..., 1:2]) * 2.0


def _scale(quantiles: Array, edges: Array, unit: Array, levels: Sequence[float]) -> Array:
    """How far beyond the lowest and the highest quantile values lie on average, where they do, (…, 2)."""
    middle = min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))
    beyond = np.array([-_beyond(1 - levels[0]), _beyond(levels[-1])], np.float32)
    if 0 < middle < len(levels) - 1:
        return (edges - quantiles[..., middle : middle + 1]) * beyond
    units = unit + np.zeros(2, np.float32)
    if len(levels) == 1:
        return units
    known = np.array([middle > 0, middle < len(levels) - 1], np.float32)
    return (edges - quantiles[..., middle : middle + 1]) * beyond + units * (1 - known)


def _beyond(level: float) -> float:
    """Mean excess of a Laplace distribution beyond its quantile at a level, in units of its distance from the median."""
    return 1 / math.log(0.5 / (1 - level)) if level > 0.5 else 0.0


def _to_tails(levels: Sequence[float]) -> NDArray[np.float32]:
    """Weights that sum what lies below y and what lies above it, of terms that are all positive: nothing cancels far out.

    The terms are exp(−excess) at both ends and how much of each stretch y has passed; then one less each.
    """
    stretches = np.diff(np.array(levels))
    nothing, low, high = np.zeros_like(stretches), levels[0], 1 - levels[-1]
    below = [low, 0, *stretches, 0, high, *nothing]
    above = [0, high, *nothing, low, 0, *stretches]
    return np.array([below, above], np.float32).T
