"""Observations as they are read: what is known of each channel without learning, and what the network sees of it.

What training computes from the calendar by the step is folded into constants here, because every operator costs a single
step about half a microsecond. Shapes end in row and feature, (…, R, n), with a row for each channel of each session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model import ops, scaling
from model.along import OneStep, Sequence, by_channel, part_of
from model.architecture import Architecture
from model.covariates import Affine, Covariates
from model.features import BOUND, GAP_SCALE
from model.hindsight import Observed
from model.ops import Array
from model.recurrences import Weights

if TYPE_CHECKING:
    from model.serving import Serving

SIZES = scaling.SMOOTHEST, 1 / scaling.SMOOTHEST


@dataclass(frozen=True, slots=True)
class Reading:
    """At every step: the observation, the summary and what is seen after it, and level and spread before it; what the
    calendar and the covariates say, (…, R, ·), if anything; what was recalled and whether it is known; and the input of each
    member's recurrence.
    """

    y: Observed
    summary: Array
    seen: Array
    level_before: Array
    spread_before: Array
    shared: Array | None
    recalled: tuple[Array, Array] | None
    x: list[Array]


class Reader:
    """`Forecaster.track`, `see` and the input of its recurrence, for a state."""

    def __init__(self, serving: Serving) -> None:
        a, w = serving.architecture, serving.weights
        self.architecture, self.weights, self.layout, self.waves = a, w, serving.layout, serving.waves
        self.known = Covariates(a.covariates)
        rough = scaling.decay(a.longest, scaling.ROUGHNESS_SEASONS)
        self.decays = np.array([scaling.decay(a.shortest)] * 4 + [rough] * 2 * len(a.differences))
        self.embedding = [self._embedding(member) for member in w]

    def read(
        self,
        along: OneStep | Sequence,
        values: Array,
        time: Array,
        covariates: Array | None,
        state: Array,
        recall: tuple[int, ...] = (),
    ) -> Reading:
        """Observations as `Serving.encode` has them, and those before them by the lags to `recall`."""
        a, y = self.architecture, along.observations(values)
        newest_0, means_0 = ops.split(part_of(self.layout["summary"], state), [2, 4 + 2 * len(a.differences)])
        observed = ~ops.isnan(y)
        known, seen = ops.where(observed, y, 0.0), ops.to_float(observed)
        newest = along.fill(observed, known, newest_0)
        age = by_channel(state[:, self.layout["count"].span], len(a.channels), 1) + along.number(known)
        lags, there, changes, recalled = self._look_back(along, values, state, age, observed, known, recall)

        means = self._means(along, seen, known, changes, means_0)
        level_0, spread_0, _ = measures(means_0, a)
        level, spread, sizes = measures(means, a)
        spread_before = along.before(spread, spread_0)
        change = ops.clip(ops.log(spread / spread_before), -scaling.LARGEST_CHANGE, scaling.LARGEST_CHANGE)
        own = self._see(newest, age, lags, there, level, spread, sizes)
        shared = self._share(along, time, covariates)
        return Reading(
            y=Observed(known, observed, age),
            summary=ops.concat([newest, means]),
            seen=own,
            level_before=along.before(level, level_0),
            spread_before=spread_before,
            shared=shared,
            recalled=recalled,
            x=self._embed([own, change], shared),
        )

    def _look_back(
        self, along: OneStep | Sequence, values: Array, state: Array, age: Array, observed: Array, known: Array,
        recall: tuple[int, ...],
    ) -> tuple[Array, Array, list[Array], tuple[Array, Array] | None]:  # fmt: skip
        """Values at the lags and whether they are known, (…, R, lags); which changes were seen, and how large they are,
        (…, R, differences) each; and what is recalled, if anything.
        """
        a, recent = self.architecture, self.layout["recent"]
        every = (*a.lags, *a.differences, *recall)
        found = along.lags(values, state, recent.offset, recent.shape[0], every)
        present = ~ops.isnan(found) & (age > np.array(every, np.float32))
        sizes = [size for size in (len(a.lags), len(a.differences), len(recall)) if size]
        (lags, before, *recalled), (there, both, *its_present) = ops.split(found, sizes), ops.split(present, sizes)
        both = both & observed
        changes = [ops.to_float(both), ops.where(both, ops.absolute(known - before), 0.0)]
        return lags, there, changes, (recalled[0], its_present[0]) if recall else None

    def _means(
        self, along: OneStep | Sequence, seen: Array, known: Array, changes: list[Array], before: Array
    ) -> Array:
        """The weights and weighted sums of the summary after each step, (…, R, ·)."""
        if not self.architecture.signed:
            return along.mean(ops.concat([seen, known, seen, ops.absolute(known), *changes]), before, self.decays)
        level_0, rest_0 = ops.split(before, [2, len(self.decays) - 2])
        levels = along.mean(ops.concat([seen, known]), level_0, self.decays[:2])
        weight_before, total_before = ops.split(along.before(levels, level_0), [1, 1])
        counted = seen * ops.to_float(
            weight_before > 0.0
        )  # the first observation has no level before it to deviate from
        deviation = ops.absolute(known - total_before / ops.clip(weight_before, scaling.SMALLEST_SPREAD)) * counted
        rest = along.mean(ops.concat([counted, deviation, *changes]), rest_0, self.decays[2:])
        return ops.concat([levels, rest])

    def _see(
        self, newest: Array, age: Array, lags: Array, present: Array, level: Array, spread: Array, sizes: Array
    ) -> Array:
        """The channel's own past, as `Forecaster.see` has it."""
        a, last, gap = self.architecture, newest[..., 0:1], newest[..., 1:2]
        unit = spread * _share_of_spread(ops.smallest(sizes[..., 1:] if a.seasons else sizes), a)
        centre = last if a.by_change else level if a.signed else None
        return ops.concat([
            _normalise(last, level if a.signed else None, spread),
            gap / (gap + GAP_SCALE),
            ops.clip(age * (1 / a.longest), None, 1.0),
            ops.where(present, _normalise(lags, centre, unit), 0.0),
            ops.to_float(present),
            ops.log(sizes) * (1 / scaling.ROUGHNESS_UNIT),
        ])  # fmt: skip

    def _share(self, along: OneStep | Sequence, time: Array, covariates: Array | None) -> Array | None:
        """The calendar's waves and the covariates, which are the same for all channels, (…, R, ·)."""
        a, w = self.architecture, self.weights[0]  # the statistics of covariates are those of the data, in all members
        shared = [self.waves.at(along.shared(time, 1))] if a.cycles else []
        if covariates is not None:
            shared += self.known.served(along.shared(covariates, len(a.covariates)), w["covariate_mean"])
        width = len(self.waves.periods) + self.known.width
        return along.across_channels(ops.concat(shared), width) if shared else None

    def _embed(self, own: list[Array], shared: Array | None) -> list[Array]:
        """The input of each member's recurrence, (…, R, width)."""
        seen, C = ops.concat(own if shared is None else [*own, shared]), len(self.architecture.channels)
        embedded = []
        for weights in self.embedding:
            width = weights.weights.shape[1]
            x = seen @ weights.weights
            if C == 1:
                x = x + weights.bias[0]
            else:
                x = ops.reshape_like(ops.reshape(x, (-1, C, width)) + weights.bias, x, width)
            embedded.append(ops.tanh(x))
        return embedded

    def _embedding(self, w: Weights) -> Affine:
        """A member's weights for what is seen, with a bias for each channel."""
        calendar, covariates = np.split(self.waves.ahead(w["shared"], steps=1), [len(self.waves.periods)])
        known = self.known.fold(covariates, w["covariate_spread"])
        weights = np.concatenate([w["own.weight"].T, calendar, known.weights])
        return Affine(weights, w["own.bias"] + w["channel"] + known.bias)


def _normalise(values: Array, centre: Array | None, unit: Array) -> Array:
    """`features.normalise`, around zero where there is no centre."""
    return ops.clip((values if centre is None else values - centre) / unit, -BOUND, BOUND)


def unit_of(spread: Array, seen: Array, a: Architecture) -> Array:
    """The unit of forecasts from the spread (…, 1) and what is seen, which ends with the roughness."""
    rough = seen[..., 3 + 2 * len(a.lags) + bool(a.seasons) :]
    return spread * _share_of_spread(ops.exp(ops.smallest(rough) * scaling.ROUGHNESS_UNIT), a)


def _share_of_spread(change: Array, a: Architecture) -> Array:
    """The unit in spreads, from the smallest seasonal change in spreads, as `Forecaster` has it."""
    return change if a.by_change else ops.clip(change * scaling.MOST_CHANGES, None, 1.0)


def measures(means: Array, a: Architecture) -> tuple[Array, Array, Array]:
    """Level and spread (…, 1) and the sizes of change in units of the spread, one where none was seen, (…, differences), from
    the weights and weighted sums of a summary.
    """
    n = len(a.differences)
    level_weight, level_total, weight, total, change_weight, change_total = ops.split(means, [1, 1, 1, 1, n, n])
    level = level_total / ops.clip(level_weight, scaling.SMALLEST_SPREAD)
    spread = total / ops.clip(weight, scaling.SMALLEST_SPREAD)
    if a.signed:  # before any deviation was seen, the size of the level
        spread = ops.where(weight > 0.0, spread, ops.absolute(level))
    spread = ops.clip(spread, scaling.SMALLEST_SPREAD)
    sizes = ops.clip(change_total / ops.clip(change_weight, scaling.SMALLEST_SPREAD) / spread, *SIZES)
    return level, spread, ops.where(change_weight > 0.0, sizes, 1.0)
