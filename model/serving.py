"""The forecaster as it is served: its whole past in one state vector, computed by numpy or written as ONNX graphs.

The same forecaster as `model.forecaster`, seen from the other side: observations move a state (`encode`), a state and a time
give quantiles (`decode`). Shapes end in row and feature, (…, R, n), with a row for each channel of each session.
"""

from __future__ import annotations

import numpy as np

from model import ops
from model.along import MADE, OneStep, Sequence, by_channel, part_of
from model.architecture import Architecture
from model.calibration import Bands
from model.cells import CELLS
from model.contract import StateSlice
from model.covariates import Affine, Covariates
from model.ensemble import AnyForecaster, weights_of
from model.head import Head, Origin, floor
from model.hindsight import Hindsight
from model.ops import Array
from model.reading import Reader, Reading, measures, unit_of
from model.recurrences import Recurrence
from model.waves import Waves


def state_layout(a: Architecture, members: int = 1) -> dict[str, StateSlice]:
    """The named slices of the state vector, in order; `recent` comes last, so that a step only shifts the vector's end.

    `summary` holds for each channel the newest value, the steps since it, weight and weighted sum of level and of spread, and
    the weights and weighted sums of the sizes of change; `seen` is what the network sees of these and of the lags. `waiting`
    are the forecasts of each bucket of horizons whose observations are still to come: median and distances to the band.
    """
    C, bands = len(a.channels), Bands.of(a)
    shapes: dict[str, tuple[int, ...]] = {
        "count": (1,),
        "summary": (C, 6 + 2 * len(a.differences)),
        "seen": (C, 3 + 2 * len(a.lags) + len(a.differences)),
        "hidden": (C, members * a.layers, CELLS[a.cell].vectors * a.units),
        "surprise": (C,),
    }
    if bands:
        n = len(bands.ends)
        shapes |= {"correction": (C, 2, n), "coverage": (C, 2, n), "waiting": (sum(bands.waits), C, MADE)}
    shapes["recent"] = (a.recent_steps, C)
    layout, offset = {}, 0
    for name, shape in shapes.items():
        layout[name] = StateSlice(offset, shape)
        offset += layout[name].size
    return layout


class Serving:
    """The functions of the contract, for the weights of a forecaster or of an ensemble's members.

    The layers of all members lie one after the other in the state's slice `hidden`.
    """

    def __init__(self, forecaster: AnyForecaster) -> None:
        a = self.architecture = forecaster.architecture
        self.weights = [{name: w.detach().numpy() for name, w in member.items()} for member in weights_of(forecaster)]
        self.layout = state_layout(a, len(self.weights))
        self.size = sum(part.size for part in self.layout.values())
        self.layers = [[Recurrence.of(a.cell, w, f"cells.{i}.") for i in range(a.layers)] for w in self.weights]
        self.waves = Waves(a)
        self.known_ahead = Covariates([a.covariates[i] for i in a.known_ahead])
        self.reader = Reader(self)
        self.bands = Bands.of(a)
        self.hindsight = Hindsight(self, self.bands)
        self.head = self._head()

    def encode(self, values: Array, time: Array, covariates: Array | None, state: Array) -> tuple[Array, Array]:
        """The state (B, S) after observations (B, T, C) at times (B, T) with covariates (B, T, K), and how surprising each of
        them was, (B, T, C).
        """
        return self._advance(Sequence(len(self.architecture.channels)), values, time, covariates, state)

    def step(self, values: Array, time: Array, covariates: Array | None, state: Array) -> tuple[Array, Array]:
        """`encode` for T = 1 in plain operators."""
        return self._advance(OneStep(len(self.architecture.channels), nodes=False), values, time, covariates, state)

    def encode_one(self, values: Array, time: Array, covariates: Array | None, state: Array) -> tuple[Array, Array]:
        """`encode` for T = 1 with the same bits."""
        return self._advance(OneStep(len(self.architecture.channels), nodes=True), values, time, covariates, state)

    def decode(self, state: Array, time: Array, future_covariates: Array | None) -> Array:
        """Quantiles (B, H, C, Q) of the H steps after the last observation, at `time` (B,); non-decreasing in Q."""
        a, origin = self.architecture, self._origin(state)
        C, H, Q = len(a.channels), a.horizon, len(a.quantiles)
        quantiles = self.head.quantiles(origin, self._ahead(time), self._future(future_covariates))
        if self.bands:
            factor = ops.reshape(
                self.bands.factor(part_of(self.layout["correction"], state), self.head.horizons), (-1, Q)
            )
            quantiles = self.bands.correct(ops.reshape(quantiles, (-1, Q)), factor)
        if self.bands and origin.floor is not None:
            quantiles = ops.maximum(ops.reshape(quantiles, (-1, H * Q)), origin.floor)
        if C == 1:
            return ops.reshape(quantiles, (-1, H, 1, Q))
        return ops.transpose(ops.reshape(quantiles, (-1, C, H, Q)), 0, 2, 1, 3)

    def explain(self, values: Array, time: Array, covariates: Array | None, state: Array) -> tuple[Array, Array, Array]:
        """Update gate, reset gate and hidden state at every step, each (B, T, C·L, N)."""
        a, starts = self.architecture, iter(self._hidden(state))
        inputs = self.reader.read(Sequence(len(a.channels)), values, time, covariates, state).x
        found: tuple[list[Array], list[Array], list[Array]] = ([], [], [])
        for x, layers in zip(inputs, self.layers, strict=True):
            for layer in layers:
                rows, before = x, next(starts)
                x, _ = layer.sequence(rows, before)  # noqa: PLW2901 - the next layer's input
                for seen, value in zip(found, (*layer.gates(rows, x, before), x), strict=True):
                    seen.append(ops.reshape(value, (0, -1, len(a.channels), 1, layer.units)))
        update, reset, hidden = (ops.transpose(ops.concat(layers, 3), 1, 0, 2, 3, 4) for layers in found)
        shape = (0, 0, len(a.channels) * len(found[0]), a.units)
        return ops.reshape(update, shape), ops.reshape(reset, shape), ops.reshape(hidden, shape)

    def _advance(
        self, along: OneStep | Sequence, values: Array, time: Array, covariates: Array | None, state: Array
    ) -> tuple[Array, Array]:
        recall = tuple((self.layout["recent"].shape[0] - self.hindsight.head.places).tolist())
        read = self.reader.read(along, values, time, covariates, state, recall)
        hidden, ends, starts = [], [], iter(self._hidden(state))
        for x, layers in zip(read.x, self.layers, strict=True):
            for layer in layers:
                x, after = along.recur(layer, x, next(starts))  # noqa: PLW2901 - the next layer's input
                hidden.append(after)
            ends.append(x)
        outputs = along.before(ops.concat(ends), self._outputs(state))
        origin = self._origin_before(along, read, outputs, state)
        surprise, slices = self.hindsight.judge(along, origin, read.shared, read.y, state)
        recent, count = self.layout["recent"], along.end(read.y.number, 1)
        slices |= {
            "count": count if len(self.architecture.channels) == 1 else count[:, 0:1],
            "summary": along.end(read.summary, self.layout["summary"].shape[1]),
            "seen": along.end(read.seen, self.layout["seen"].shape[1]),
            "hidden": ops.reshape(ops.concat(hidden), (-1, self.layout["hidden"].size)),
            "recent": along.remember(values, state, recent.offset, recent.shape[0]),
        }
        return ops.concat([slices[name] for name, part in self.layout.items() if part.size]), along.answers(surprise)

    def _origin_before(self, along: OneStep | Sequence, read: Reading, outputs: Array, state: Array) -> Origin:
        """The step before each, as a place to forecast from."""
        places, seen = self.hindsight.head.places.size, self.layout["seen"]
        return self._place(
            last=along.rows(along.before(read.summary[..., 0:1], part_of(self.layout["summary"], state)[..., 0:1]), 1),
            level=along.rows(read.level_before, 1),
            spread=along.rows(read.spread_before, 1),
            seen=along.rows(along.before(read.seen, part_of(seen, state)), seen.shape[1]),
            outputs=along.rows(outputs, len(self.weights) * self.architecture.units),
            recalled=tuple(along.rows(part, places) for part in read.recalled or ()),
        )

    def _origin(self, state: Array) -> Origin:
        """The last step, as a place to forecast from."""
        a, places, recent = self.architecture, self.head.places, self.layout["recent"]
        last, _, means = ops.split(part_of(self.layout["summary"], state), [1, 1, 4 + 2 * len(a.differences)])
        level, spread, _ = measures(means, a)
        recalled: tuple[Array, ...] = ()
        if places.size:
            C = len(a.channels)
            lags = tuple((recent.shape[0] + 1 - places).tolist())
            count = by_channel(state[:, self.layout["count"].span], C, 1)
            values = OneStep(C, nodes=False).lags(state, state, recent.offset, recent.shape[0] + 1, lags)
            recalled = values, ~ops.isnan(values) & (count > (recent.shape[0] - 1 - places).astype(np.float32))
        seen = part_of(self.layout["seen"], state)
        return self._place(last, level, spread, seen, self._outputs(state), recalled)

    def _place(
        self, last: Array, level: Array, spread: Array, seen: Array, outputs: Array, recalled: tuple[Array, ...]
    ) -> Origin:
        """A place to forecast from, as matrices with a row each."""
        return Origin(
            last=last,
            level=level,
            unit=unit_of(spread, seen, self.architecture),
            floor=None if self.architecture.signed else floor(level, spread),
            seen=seen,
            outputs=outputs,
            recalled=recalled[0] if recalled else None,
            present=recalled[1] if recalled else None,
        )

    def _head(self) -> Head:
        """The head for all horizons: the calendar's weights are turned to each, covariates are known at each."""
        a, ahead, future = self.architecture, [], []
        horizons = range(1, a.horizon + 1)
        for w in self.weights:
            calendar, covariates = np.split(w["ahead.weight"].T[2 * a.anchors :], [len(self.waves.periods)])
            known = self.known_ahead.fold(covariates, w["covariate_spread"][a.known_ahead])
            turned = np.concatenate([self.waves.ahead(calendar, h) for h in horizons], axis=1)
            ahead.append(Affine(turned, np.tile(known.bias, a.horizon)))
            future.append(known.weights)
        return Head(self, horizons, ahead, future)

    def _ahead(self, time: Array) -> Array | None:
        """The calendar's waves (R, ·) at the time of the last observation, if there is a calendar."""
        a = self.architecture
        if not a.cycles:
            return None
        return by_channel(self.waves.at(ops.expand(time, 1)), len(a.channels), len(self.waves.periods))

    def _future(self, future_covariates: Array | None) -> list[Array]:
        """Columns (R·H, K') of the covariates known ahead, if there are any."""
        if future_covariates is None:
            return []
        a, C = self.architecture, len(self.architecture.channels)
        given = ops.reshape(future_covariates, (0, a.horizon * len(a.known_ahead)))
        found = self.known_ahead.served(given, self.weights[0]["covariate_mean"][a.known_ahead], a.horizon)
        parts = zip(found, self.known_ahead.widths, strict=True)
        return [ops.reshape(ops.concat([part] * C) if C > 1 else part, (-1, width)) for part, width in parts]

    def _outputs(self, state: Array) -> Array:
        """What each member's last layer put out, side by side, (R, members·N)."""
        a = self.architecture
        last = self._hidden(state)[a.layers - 1 :: a.layers]
        return ops.concat([one if CELLS[a.cell].vectors == 1 else one[:, 0 : a.units] for one in last])

    def _hidden(self, state: Array) -> list[Array]:
        """The state of each layer of each member, (R, V·N)."""
        _, layers, width = self.layout["hidden"].shape
        hidden = part_of(self.layout["hidden"], state)
        return ops.split(hidden, [width] * layers) if layers > 1 else [hidden]
