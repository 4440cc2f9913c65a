"""Bands that correct themselves: what is followed, in which buckets of horizons, and what follows for every quantile.

The distance of a quantile from the median is multiplied by a factor for its side, so the median stays and nothing can
cross. One band is followed, in every bucket at one horizon that stands for it: k is the factor less one, and is moved by
quantile tracking so that each side is missed as often as its level says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.architecture import Architecture
from model.contract import Calibration
from model.ops import Array

WANTED = (0.1, 0.9)  # the band to follow, where the model has these levels
GROWTH = 5  # from bucket to bucket of horizons, about
SMALLEST = 1e-30  # of a distance to the band: a series that does not move has none
WIDEST = 2.0  # of k: bands at three times their width, so that a jump is forgotten in days
RAMP = 0.1  # how far a score must exceed k to count fully, from half of that below it on
RATE = 0.05  # of tracking one step ahead, in units of the distance between median and band


@dataclass(frozen=True, slots=True)
class Bands:
    """The levels at `lower`, `middle` and `upper` of Q, and n buckets: their last horizons and those that stand for them.

    What there is for each side and bucket is ordered by sides: (2n,) is the n lower sides before the n upper ones.
    """

    levels: tuple[float, ...]
    lower: int
    middle: int
    upper: int
    ends: tuple[int, ...]
    horizons: tuple[int, ...]

    @classmethod
    def of(cls, a: Architecture) -> Bands | None:
        """What is followed for an architecture; nothing where it does not calibrate or has no level on a side of its middle.

        No bucket is followed whose forecasts wait for longer than covariates known ahead stay as they are: forecasts that
        are made without them say little about those that are made with them.
        """
        if not (a.calibrate and 0 < a.middle < len(a.quantiles) - 1):
            return None
        lower = min(range(a.middle), key=lambda i: abs(a.quantiles[i] - WANTED[0]))
        upper = min(range(a.middle + 1, len(a.quantiles)), key=lambda i: abs(a.quantiles[i] - WANTED[1]))
        ends = bucket_ends(a.horizon)
        middles = tuple((low + 1 + high) // 2 for low, high in itertools.pairwise((0, *ends)))
        n = sum(middle - 1 <= a.steady for middle in middles)
        return cls(a.quantiles, lower, a.middle, upper, ends[:n], middles[:n])

    @property
    def described(self) -> Calibration:
        return Calibration(self.levels[self.lower], self.levels[self.upper], self.ends)

    @property
    def waits(self) -> tuple[int, ...]:
        """How long the forecasts of each bucket wait for their observations, when they are made as the next one comes."""
        return tuple(horizon - 1 for horizon in self.horizons)

    @property
    def shares(self) -> NDArray[np.float32]:
        """How often each side should be missed, (2n,)."""
        return np.repeat(np.array([self.levels[self.lower], 1 - self.levels[self.upper]], np.float32), len(self.ends))

    @property
    def rates(self) -> NDArray[np.float32]:
        """The gain of tracking, from whether each bucket's forecast is judged, (n, 2n): slower where one surprise misses many
        forecasts at once.
        """
        rates = np.diag(RATE / np.sqrt(np.array(self.horizons, np.float32)))
        return np.concatenate([rates, rates], 1).astype(np.float32)

    def factor(self, k: Array, horizons: Sequence[int]) -> Array:
        """How much farther from the median quantiles lie, (…, h·Q), under corrections k (…, 2n)."""
        return ops.clip(k @ self._weights(np.array(horizons)) + 1.0, 0.0)

    def correct(self, quantiles: Array, factor: Array) -> Array:
        """Quantiles (…, Q) at their new distances from the median."""
        to_median = np.zeros((len(self.levels), len(self.levels)), np.float32)
        to_median[self.middle] = 1
        median = quantiles @ to_median  # in every column: a product is quicker than a column cut out and spread again
        return (quantiles - median) * factor + median

    def score(self, y: Array, due: Array) -> Array:
        """How far observations y (…, 1) lie on each side of the median, in units of its distance to the band less one,
        (…, 2n), for forecasts (…, 3n) as `bands` makes them: above k they are outside.
        """
        n = len(self.ends)
        medians, below, above = np.eye(3 * n, dtype=np.float32).reshape(3 * n, n, 3).transpose(2, 0, 1)
        sides = np.repeat(np.array([[-1, 1]], np.float32), n, 1)
        distance = y @ sides + due @ np.concatenate([medians, -medians], 1)
        score = distance / ops.clip(due @ np.concatenate([below, above], 1), SMALLEST)
        score = ops.where(score > 0.0, score, 0.0)  # nor NaN: a forecast that is not finite must not spoil k
        return score - 1.0

    def bands(self) -> NDArray[np.float32]:
        """From quantiles (n·Q) at the horizons that stand for buckets to each one's median and distances to the band, (3n)."""
        n, Q = len(self.ends), len(self.levels)
        made = np.zeros((n, Q, n, 3), np.float32)
        for bucket in range(n):
            made[bucket, self.middle, bucket] = (1, 1, -1)
            made[bucket, self.lower, bucket, 1] = -1
            made[bucket, self.upper, bucket, 2] = 1
        return made.reshape(n * Q, 3 * n)

    def _weights(self, horizons: NDArray[np.int64]) -> NDArray[np.float32]:
        """From k of sides and buckets to those of h horizons and levels, (2n, h·Q): straight along the logarithm of the
        horizon between those that stand for buckets, zero for the median and beyond the last bucket.
        """
        side = np.sign(np.arange(len(self.levels)) - self.middle)
        along = [np.interp(np.log(horizons), np.log(self.horizons), row) for row in np.eye(len(self.ends))]
        followed = np.where(horizons <= self.ends[-1], along, 0)
        weights = np.einsum("nh,sq->snhq", followed, np.stack([side < 0, side > 0]).astype(float))
        return np.asarray(weights.reshape(2 * len(self.ends), -1), np.float32)


def track(score: Array, gain: Array, before: Array, share: NDArray[np.float32]) -> Array:
    """The new k after scores (…, n); where a gain is zero nothing moves. All of the same shape, `share` (n,).

    Quantile tracking (Angelopoulos et al. 2023, https://arxiv.org/abs/2307.16895, eq. 4): k moves up by gain·(1 − share) when
    a score exceeds it and down by gain·share when not, so that a `share` of the scores ends above it. Here the step between
    "exceeds" and "not" is a ramp: a score that another machine computes in another order must not move k by all of it.
    """
    exceeds = ops.clip((score - before) * (1 / RAMP) + 0.5, 0.0, 1.0)
    return before + gain * (exceeds - share)


def bucket_ends(horizon: int) -> tuple[int, ...]:
    """The last horizons of buckets: 1, and about so many times more from one to the next."""
    count = max(1, round(math.log(horizon, GROWTH)))
    return tuple(sorted({round(horizon ** (i / count)) for i in range(count + 1)}))
