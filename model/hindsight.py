"""What every observation says about the forecasts made before it: how surprising it was, and how to correct the bands.

At each step the head forecasts from the step before, at the horizons that stand for their buckets. The nearest of these
meets its observation at once. The others wait for theirs in the state, each for as long as it looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model import ops
from model.along import OneStep, Sequence, part_of
from model.calibration import WIDEST, Bands
from model.covariates import Affine, Covariates
from model.head import Head, Origin
from model.ops import Array
from model.recurrences import Weights
from model.surprise import surprise

if TYPE_CHECKING:
    from model.serving import Serving


@dataclass(frozen=True, slots=True)
class Observed:
    """Observations (…, R, 1), zero where missing; whether they are not, and which step of its session each is."""

    known: Array
    seen: Array
    number: Array


class Hindsight:
    """The forecasts that observations are judged by."""

    def __init__(self, serving: Serving, bands: Bands | None) -> None:
        a = serving.architecture
        self.bands, self.layout, self.levels = bands, serving.layout, a.quantiles
        self.horizons = bands.horizons if bands else (1,)
        self.shared = len(serving.waves.periods) + Covariates(a.covariates).width
        nothing = np.zeros((0, a.head), np.float32)
        ahead = [self._ahead(serving, w) for w in serving.weights]
        self.head = Head(serving, self.horizons, ahead, [nothing for _ in ahead])

    def _ahead(self, serving: Serving, w: Weights) -> Affine:
        """What the calendar and the covariates at the step after the origin say of each horizon, (·, h·head)."""
        a = serving.architecture
        calendar, covariates = np.split(w["ahead.weight"].T[2 * a.anchors :], [len(serving.waves.periods)])
        all_known = Covariates(a.covariates)
        every = np.zeros((all_known.width, a.head), np.float32)
        every[all_known.places_of(a.known_ahead)] = covariates
        known = all_known.fold(every, w["covariate_spread"])
        turned = [serving.waves.ahead(calendar, h - 1) for h in self.horizons]
        weights = np.concatenate([np.concatenate([waves, known.weights]) for waves in turned], axis=1)
        return Affine(weights, np.tile(known.bias, len(turned)))

    def judge(
        self, along: OneStep | Sequence, origin: Origin, shared: Array | None, y: Observed, state: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Surprise (…, R, 1) of observations, NaN where missing or first, and the slices of the state after the last.

        `shared` is what calendar and covariates say at the steps. For horizons beyond the next step covariates known ahead
        are taken to stay as they are: what was known then is not kept.
        """
        Q = len(self.levels)
        quantiles = self.head.quantiles(origin, None if shared is None else along.rows(shared, self.shared))
        nearest = quantiles[:, 0:Q] if len(self.horizons) > 1 else quantiles
        slices: dict[str, Array] = {}
        judged = y.seen & (y.number > np.array(self.horizons, np.float32))  # was there a forecast, for each horizon
        if self.bands:
            k, slices = self._follow(along, self.bands, quantiles, y.known, judged, state)
            k = along.rows(k, 2 * len(self.bands.ends))
            nearest = self.bands.correct(nearest, self.bands.factor(k, (1,)))
            nearest = nearest if origin.floor is None else ops.maximum(nearest, origin.floor)
        found = surprise(along.rows(y.known, 1), nearest, origin.unit, self.levels)
        found = ops.where(judged[..., 0:1], along.from_rows(found, y.known, 1), np.float32(np.nan))
        return found, slices | {"surprise": along.end(found, 1)}

    def _follow(
        self, along: OneStep | Sequence, bands: Bands, quantiles: Array, y: Array, judged: Array, state: Array
    ) -> tuple[Array, dict[str, Array]]:
        """The corrections before each observation, (…, R, 2n), and the slices after the last; from quantiles as rows."""
        n, slices = len(bands.ends), {}
        due = along.from_rows(quantiles @ bands.bands(), y, 3 * n)
        if n > 1:
            due, slices["waiting"] = along.delay(due, state, self.layout["waiting"].offset, bands.waits[1:])
        judged = ops.to_float(judged)
        score, gain = bands.score(y, due), judged @ bands.rates
        k_0 = part_of(self.layout["correction"], state)
        k = along.track(ops.clip(score, None, WIDEST), gain, k_0, bands.shares)
        before = along.before(k, k_0)

        excess = score - before
        inside = judged * ops.to_float(ops.maximum(*ops.split(excess, [n, n])) <= 0.0)
        counts = along.count(ops.concat([judged, inside]), part_of(self.layout["coverage"], state))
        ends = {"correction": k, "coverage": counts}
        return before, slices | {name: along.end(x, 2 * n) for name, x in ends.items()}
