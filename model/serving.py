"""The forecaster as it is served: its whole past in one state vector, computed by numpy or written as ONNX graphs.

The same forecaster as `model.forecaster`, seen from the other side: observations move a state (`encode`), a state and a time
give quantiles (`decode`). What training computes from the calendar by the step is folded into constants here, because every
operator costs a single step about a microsecond. Shapes end in session, channel and feature: (…, B, C, n).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model import ops, scaling
from model.along import OneStep, Sequence
from model.architecture import Architecture
from model.cells import CELLS
from model.contract import StateSlice
from model.features import BOUND, GAP_SCALE
from model.forecaster import Forecaster
from model.head import Head
from model.ops import Array, masked
from model.recurrences import Recurrence
from model.waves import Waves

NEWEST, LEVEL, SPREAD = slice(0, 2), slice(2, 4), slice(4, 6)  # columns of the summary, before those of roughness


def state_layout(a: Architecture) -> dict[str, StateSlice]:
    """The named slices of the state vector, in order; `recent` comes last, so that a step only shifts the vector's end.

    `summary` holds for each channel the newest value, the steps since it, weight and weighted sum of level and of spread, and
    the weights and weighted sums of the sizes of change.
    """
    C = len(a.channels)
    shapes = {
        "count": (1,),
        "summary": (C, SPREAD.stop + 2 * len(a.differences)),
        "hidden": (C, a.layers, CELLS[a.cell].vectors * a.units),
        "recent": (a.recent_steps, C),
    }
    layout, offset = {}, 0
    for name, shape in shapes.items():
        layout[name] = StateSlice(offset, shape)
        offset += layout[name].size
    return layout


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of each channel without learning: every field (…, B, C, 1), the sizes of change in units of the spread, one
    where none was seen, (…, B, C, differences).
    """

    last: Array
    gap: Array
    age: Array
    level: Array
    spread: Array
    sizes: Array
    unit: Array


class Serving:
    """The functions of the contract, for a forecaster's weights."""

    def __init__(self, forecaster: Forecaster) -> None:
        a = self.architecture = forecaster.architecture
        w = self.weights = {name: value.detach().numpy() for name, value in forecaster.state_dict().items()}
        self.layout = state_layout(a)
        self.size = sum(part.size for part in self.layout.values())
        self.layers = [Recurrence.of(a.cell, w, f"cells.{i}.") for i in range(a.layers)]
        self.decay = scaling.decay(a.shortest)
        self.rough_decay = scaling.decay(a.longest, scaling.ROUGHNESS_SEASONS)
        self.waves = Waves(a)
        self.shared = self.waves.ahead(w["shared"], steps=1)
        self.head = Head(self)

    def encode(self, values: Array, time: Array, covariates: Array | None, state: Array) -> Array:
        """The state (B, S) after observations (B, T, C) at times (B, T) with covariates (B, T, K)."""
        return self._advance(Sequence(len(self.architecture.channels)), values, time, covariates, state)

    def step(self, values: Array, time: Array, covariates: Array | None, state: Array) -> Array:
        """`encode` for T = 1 in plain operators."""
        return self._advance(OneStep(len(self.architecture.channels)), values, time, covariates, state)

    def decode(self, state: Array, time: Array, future_covariates: Array | None) -> Array:
        """Quantiles (B, H, C, Q) of the H steps after the last observation, at `time` (B,); non-decreasing in Q."""
        return self.head.quantiles(state, time, future_covariates)

    def explain(self, values: Array, time: Array, covariates: Array | None, state: Array) -> tuple[Array, Array, Array]:
        """Update gate, reset gate and hidden state at every step, each (B, T, C·L, N)."""
        a = self.architecture
        along = Sequence(len(a.channels))
        x, _, _ = self._read(along, values, time, covariates, state)
        found: tuple[list[Array], list[Array], list[Array]] = ([], [], [])
        for layer, part in zip(self.layers, self._hidden(state), strict=True):
            rows, before = ops.reshape(x, (0, -1, layer.inputs)), ops.reshape(part, (-1, layer.vectors * layer.units))
            outputs, _ = layer.sequence(rows, before)
            for seen, value in zip(found, (*layer.gates(rows, outputs, before), outputs), strict=True):
                seen.append(ops.reshape(value, (0, -1, len(a.channels), 1, layer.units)))
            x = outputs
        update, reset, hidden = (ops.transpose(ops.concat(layers, 3), 1, 0, 2, 3, 4) for layers in found)
        shape = (0, 0, len(a.channels) * a.layers, a.units)
        return ops.reshape(update, shape), ops.reshape(reset, shape), ops.reshape(hidden, shape)

    def _advance(
        self, along: OneStep | Sequence, values: Array, time: Array, covariates: Array | None, state: Array
    ) -> Array:
        x, summary, age = self._read(along, values, time, covariates, state)
        hidden = []
        for layer, before in zip(self.layers, self._hidden(state), strict=True):
            x, after = along.recur(layer, x, before)
            hidden.append(after)
        recent = self.layout["recent"]
        return ops.concat([
            ops.reshape(along.end(age, 1)[:, 0:1], (0, 1)),
            ops.reshape(along.end(summary, self.layout["summary"].shape[1]), (0, -1)),
            ops.reshape(ops.concat(hidden), (0, -1)),
            along.remember(values, state, recent.offset, recent.shape[0]),
        ])  # fmt: skip

    def _read(
        self, along: OneStep | Sequence, values: Array, time: Array, covariates: Array | None, state: Array
    ) -> tuple[Array, Array, Array]:
        """What the recurrence reads at each step, and the summary and age after each."""
        a, y, before = self.architecture, along.observations(values), self.summary(state)
        observed = ~ops.isnan(y)
        known, seen = ops.where(observed, y, 0.0), ops.to_float(observed)
        newest = along.fill(observed, known, before[..., NEWEST])
        age = along.across_channels(self.count(state)) + along.number(known)

        levels = along.mean(ops.concat([seen, known]), before[..., LEVEL], self.decay, 2)
        level, level_0 = mean(levels), mean(before[..., LEVEL])
        counted, deviation = seen, ops.absolute(known)
        if a.signed:  # the first observation has no level before it to deviate from
            weight = along.before(levels[..., 0:1], before[..., LEVEL][..., 0:1])
            counted = seen * ops.to_float(weight > 0.0)
            deviation = ops.absolute(known - along.before(level, level_0)) * counted
        spreads = along.mean(ops.concat([counted, deviation]), before[..., SPREAD], self.decay, 2)
        spread, spread_0 = spread_of(spreads, level), spread_of(before[..., SPREAD], level_0)
        change = ops.log(spread / along.before(spread, spread_0))

        recent = self.layout["recent"]
        lags = along.lags(values, state, recent.offset, recent.shape[0], a.lags)
        present = ~ops.isnan(lags) & (age > np.array(a.lags, np.float32))
        changes = self._changes(observed, known, lags, present)
        rough = along.mean(changes, before[..., SPREAD.stop :], self.rough_decay, 2 * len(a.differences))
        own = self.see(self._summarise(newest, age, level, spread, rough), lags, present)
        own = ops.concat([own, ops.clip(change, -scaling.LARGEST_CHANGE, scaling.LARGEST_CHANGE)])
        summary = ops.concat([newest, levels, spreads, rough])
        return self._embed(along, own, time, covariates), summary, age

    def _changes(self, observed: Array, known: Array, lags: Array, present: Array) -> Array:
        """Which changes were seen, and how large they are, (…, B, C, 2·differences)."""
        chosen = np.array([self.architecture.lags.index(lag) for lag in self.architecture.differences])
        both = ops.take(present, chosen, -1) & observed
        return ops.concat([
            ops.to_float(both),
            ops.where(both, ops.absolute(known - ops.take(lags, chosen, -1)), 0.0),
        ])  # fmt: skip

    def see(self, summary: Summary, lags: Array, present: Array) -> Array:
        """The channel's own past, as `Forecaster.see` has it."""
        a, last = self.architecture, summary.last
        return ops.concat([
            ops.clip((last - summary.level if a.signed else last) / summary.spread, -BOUND, BOUND),
            summary.gap / (summary.gap + GAP_SCALE),
            ops.clip(summary.age * (1 / a.longest), None, 1.0),
            ops.where(present, ops.clip((lags - last) / summary.unit, -BOUND, BOUND), 0.0),
            ops.to_float(present),
            ops.log(summary.sizes) * (1 / scaling.ROUGHNESS_UNIT),
        ])  # fmt: skip

    def _summarise(self, newest: Array, age: Array, level: Array, spread: Array, rough: Array) -> Summary:
        """From newest value and gap (…, 2) and the weights and sums of the sizes of change (…, 2·differences)."""
        n = len(self.architecture.differences)
        weight, total = rough[..., 0:n], rough[..., n:]
        sizes = total / ops.clip(weight, scaling.SMALLEST_SPREAD) / spread
        sizes = ops.where(weight > 0.0, ops.clip(sizes, scaling.SMOOTHEST, 1 / scaling.SMOOTHEST), 1.0)
        unit = spread * ops.smallest(sizes[..., 1:] if self.architecture.seasons else sizes)
        return Summary(newest[..., 0:1], newest[..., 1:2], age, level, spread, sizes, unit)

    def _embed(self, along: OneStep | Sequence, own: Array, time: Array, covariates: Array | None) -> Array:
        a, w = self.architecture, self.weights
        shared = [self.waves.at(along.shared(time, 1))] if a.cycles else []
        if covariates is not None:
            known = along.shared(covariates, len(a.covariates))
            shared.append(masked((known - w["covariate_mean"]) * (1 / w["covariate_spread"])))
        x = own @ w["own.weight"].T + (w["own.bias"] + w["channel"])
        return ops.tanh(x + along.across_channels(ops.concat(shared) @ self.shared) if shared else x)

    def count(self, state: Array) -> Array:
        """Steps so far, (B, 1)."""
        return state[:, self.layout["count"].span]

    def summary(self, state: Array) -> Array:
        """The state's summary, (B, C, ·)."""
        return ops.reshape(state[:, self.layout["summary"].span], (0, *self.layout["summary"].shape))

    def _hidden(self, state: Array) -> list[Array]:
        """The state of each layer, (B, C, V·N)."""
        C, layers, width = self.layout["hidden"].shape
        hidden = ops.reshape(state[:, self.layout["hidden"].span], (0, C, layers * width))
        return [hidden[..., i * width : (i + 1) * width] for i in range(layers)]

    def origin(self, state: Array) -> Summary:
        """The summary at a forecast's origin."""
        summary = self.summary(state)
        level = mean(summary[..., LEVEL])
        age = summary[..., 1:2] * 0.0 + ops.expand(self.count(state), 1)
        spread, rough = spread_of(summary[..., SPREAD], level), summary[..., SPREAD.stop :]
        return self._summarise(summary[..., NEWEST], age, level, spread, rough)

    def remembered(self, state: Array, age: Array, places: NDArray[np.int64]) -> tuple[Array, Array]:
        """Observations at places of `recent`, (B, C, places), and whether they were seen and not missing."""
        recent, C = self.layout["recent"], len(self.architecture.channels)
        values = ops.take(state, recent.offset + places * C + np.arange(C)[:, None], 1)
        return values, ~ops.isnan(values) & (age > (recent.shape[0] - 1 - places).astype(np.float32))

    def outputs(self, state: Array) -> Array:
        """What the last layer put out, (B, C, N)."""
        return self._hidden(state)[-1][..., 0 : self.architecture.units]


def mean(weighted: Array) -> Array:
    """A weighted sum over its weight, from (…, 2)."""
    return weighted[..., 1:2] / ops.clip(weighted[..., 0:1], scaling.SMALLEST_SPREAD)


def spread_of(weighted: Array, level: Array) -> Array:
    """The spread of (…, 2); before any deviation was seen, the size of the level."""
    spread = ops.where(weighted[..., 0:1] > 0.0, mean(weighted), ops.absolute(level))
    return ops.clip(spread, scaling.SMALLEST_SPREAD)
