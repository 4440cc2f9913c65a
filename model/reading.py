"""Observations as they are read: what is known of each channel without learning, and what the network sees of it.

What training computes from the calendar by the step is folded into constants here, because every operator costs a single
step about a microsecond. Shapes end in session, channel and feature: (…, B, C, n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model import ops, scaling
from model.along import OneStep, Sequence
from model.architecture import Architecture
from model.covariates import Affine, Covariates
from model.features import BOUND, GAP_SCALE
from model.hindsight import Observed
from model.ops import Array
from model.recurrences import Weights

if TYPE_CHECKING:
    from model.serving import Serving

NEWEST, LEVEL, SPREAD = slice(0, 2), slice(2, 4), slice(4, 6)  # columns of the summary, before those of roughness


@dataclass(frozen=True, slots=True)
class Reading:
    """At every step: the observation, the summary and what is seen after it, and level and spread before it; what the
    calendar and the covariates say, (…, B, ·), if anything; what was recalled and whether it is known; and the input of each
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
        self.decay = scaling.decay(a.shortest)
        self.rough_decay = scaling.decay(a.longest, scaling.ROUGHNESS_SEASONS)
        self.shared = [self._shared(member) for member in w]

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
        a, y, before = self.architecture, along.observations(values), summary(self, state)
        observed = ~ops.isnan(y)
        known, seen = ops.where(observed, y, 0.0), ops.to_float(observed)
        newest = along.fill(observed, known, before[..., NEWEST])
        age = along.across_channels(state[:, self.layout["count"].span]) + along.number(known)

        levels = along.mean(ops.concat([seen, known]), before[..., LEVEL], self.decay, 2)
        level, level_0 = mean(levels), mean(before[..., LEVEL])
        level_before = along.before(level, level_0)
        counted, deviation = seen, ops.absolute(known)
        if a.signed:  # the first observation has no level before it to deviate from
            weight = along.before(levels[..., 0:1], before[..., LEVEL][..., 0:1])
            counted = seen * ops.to_float(weight > 0.0)
            deviation = ops.absolute(known - level_before) * counted
        spreads = along.mean(ops.concat([counted, deviation]), before[..., SPREAD], self.decay, 2)
        spread = spread_of(spreads, level)
        spread_before = along.before(spread, spread_of(before[..., SPREAD], level_0))
        change = ops.log(spread / spread_before)

        recent = self.layout["recent"]
        every, n = (*a.lags, *recall), len(a.lags)
        lags = along.lags(values, state, recent.offset, recent.shape[0], every)
        present = ~ops.isnan(lags) & (age > np.array(every, np.float32))
        recalled = None
        if recall:
            recalled = lags[..., n:], present[..., n:]
            lags, present = lags[..., 0:n], present[..., 0:n]
        changes = self._changes(observed, known, lags, present)
        rough = along.mean(changes, before[..., SPREAD.stop :], self.rough_decay, 2 * len(a.differences))
        own = self._see(newest, age, lags, present, level, spread, self._sizes(rough, spread))
        shared = self._share(along, time, covariates)
        change = ops.clip(change, -scaling.LARGEST_CHANGE, scaling.LARGEST_CHANGE)
        return Reading(
            y=Observed(known, observed, age),
            summary=ops.concat([newest, levels, spreads, rough]),
            seen=own,
            level_before=level_before,
            spread_before=spread_before,
            shared=shared,
            recalled=recalled,
            x=self._embed(along, ops.concat([own, change]), shared),
        )

    def _changes(self, observed: Array, known: Array, lags: Array, present: Array) -> Array:
        """Which changes were seen, and how large they are, (…, B, C, 2·differences)."""
        chosen = np.array([self.architecture.lags.index(lag) for lag in self.architecture.differences])
        both = ops.take(present, chosen, -1) & observed
        return ops.concat([
            ops.to_float(both),
            ops.where(both, ops.absolute(known - ops.take(lags, chosen, -1)), 0.0),
        ])  # fmt: skip

    def _see(
        self, newest: Array, age: Array, lags: Array, present: Array, level: Array, spread: Array, sizes: Array
    ) -> Array:
        """The channel's own past, as `Forecaster.see` has it."""
        a, last, gap = self.architecture, newest[..., 0:1], newest[..., 1:2]
        centre, unit = (level if a.signed else None), spread
        if a.by_change:
            centre, unit = last, spread * ops.smallest(sizes[..., 1:] if a.seasons else sizes)
        return ops.concat([
            _normalise(last, level if a.signed else None, spread),
            gap / (gap + GAP_SCALE),
            ops.clip(age * (1 / a.longest), None, 1.0),
            ops.where(present, _normalise(lags, centre, unit), 0.0),
            ops.to_float(present),
            ops.log(sizes) * (1 / scaling.ROUGHNESS_UNIT),
        ])  # fmt: skip

    def _sizes(self, rough: Array, spread: Array) -> Array:
        """The sizes of change in units of the spread, one where none was seen, (…, B, C, differences), from weights and sums."""
        n = len(self.architecture.differences)
        weight, total = rough[..., 0:n], rough[..., n:]
        sizes = total / ops.clip(weight, scaling.SMALLEST_SPREAD) / spread
        return ops.where(weight > 0.0, ops.clip(sizes, scaling.SMOOTHEST, 1 / scaling.SMOOTHEST), 1.0)

    def _share(self, along: OneStep | Sequence, time: Array, covariates: Array | None) -> Array | None:
        """The calendar's waves and the covariates, which are the same for all channels."""
        a, w = self.architecture, self.weights[0]  # the statistics of covariates are those of the data, in all members
        shared = [self.waves.at(along.shared(time, 1))] if a.cycles else []
        if covariates is not None:
            shared += self.known.served(along.shared(covariates, len(a.covariates)), w["covariate_mean"])
        return ops.concat(shared) if shared else None

    def _embed(self, along: OneStep | Sequence, own: Array, shared: Array | None) -> list[Array]:
        embedded = []
        for w, w_shared in zip(self.weights, self.shared, strict=True):
            x = own @ w["own.weight"].T + (w["own.bias"] + w["channel"] + w_shared.bias)
            embedded.append(ops.tanh(x if shared is None else x + along.across_channels(shared @ w_shared.weights)))
        return embedded

    def _shared(self, w: Weights) -> Affine:
        """A member's weights for the calendar and the covariates."""
        calendar, covariates = np.split(self.waves.ahead(w["shared"], steps=1), [len(self.waves.periods)])
        known = self.known.fold(covariates, w["covariate_spread"])
        return Affine(np.concatenate([calendar, known.weights]), known.bias)


def _normalise(values: Array, centre: Array | None, unit: Array) -> Array:
    """`features.normalise`, around zero where there is no centre."""
    return ops.clip((values if centre is None else values - centre) / unit, -BOUND, BOUND)


def unit_of(spread: Array, seen: Array, a: Architecture) -> Array:
    """The unit of forecasts from the spread (…, 1) and what is seen, which ends with the roughness."""
    if not a.by_change:
        return spread
    rough = seen[..., 3 + 2 * len(a.lags) + bool(a.seasons) :]
    return spread * ops.exp(ops.smallest(rough) * scaling.ROUGHNESS_UNIT)


def summary(holder: Reader | Serving, state: Array) -> Array:
    """The summary of a state, (B, C, ·)."""
    part = holder.layout["summary"]
    return ops.reshape(state[:, part.span], (0, *part.shape))


def mean(weighted: Array) -> Array:
    """A weighted sum over its weight, from (…, 2)."""
    return weighted[..., 1:2] / ops.clip(weighted[..., 0:1], scaling.SMALLEST_SPREAD)


def spread_of(weighted: Array, level: Array) -> Array:
    """The spread of (…, 2); before any deviation was seen, the size of the level."""
    spread = ops.where(weighted[..., 0:1] > 0.0, mean(weighted), ops.absolute(level))
    return ops.clip(spread, scaling.SMALLEST_SPREAD)
