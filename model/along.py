"""Time, in the two ways the forecaster is served: one step at a time, or a whole sequence at once.

Both have the same methods, so `model.serving` is written once. Values of a step are (B, C, n); of a sequence (T, B, C, n).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.calibration import track
from model.ops import Array
from model.recurrences import Recurrence, leaky_mean, leaky_step

MADE = 3  # numbers that are kept of a forecast: the median and its distances to the band


class OneStep:
    """T is 1, and everything is plain operators, which every execution provider runs."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def observations(self, values: Array) -> Array:
        """(B, 1, C) as (B, C, 1)."""
        return ops.transpose(values, 0, 2, 1)

    def answers(self, x: Array) -> Array:
        """(B, C, 1) as (B, 1, C)."""
        return ops.transpose(x, 0, 2, 1)

    def shared(self, x: Array, width: int) -> Array:
        """What the channels of a session share, (B, 1, K) as (B, K)."""
        return ops.reshape(x, (-1, width))

    def across_channels(self, x: Array) -> Array:
        """(B, n) as (B, 1, n)."""
        return ops.expand(x, 1)

    def fill(self, observed: Array, known: Array, newest: Array) -> Array:
        """Newest value and steps since it (B, C, 2), from the ones before."""
        gap = ops.where(observed, 0.0, newest[..., 1:2] + 1.0)
        return ops.concat([ops.where(observed, known, newest[..., 0:1]), gap])

    def number(self, known: Array) -> Array:
        """Which of these steps each is, from 1."""
        return known * 0.0 + 1.0

    def mean(self, x: Array, initial: Array, decay: float, width: int) -> Array:  # noqa: ARG002 - see Sequence
        """The leaky mean of every feature (B, C, n)."""
        return leaky_step(x, initial, decay)

    def before(self, x: Array, initial: Array) -> Array:  # noqa: ARG002 - a single step has nothing but the initial before it
        """What a quantile of the step before was."""
        return initial

    def lags(self, values: Array, state: Array, offset: int, steps: int, lags: tuple[int, ...]) -> Array:  # noqa: ARG002 - see Sequence
        """Values `lag` steps back, (B, C, lags), where `recent` (steps, C) begins at an offset of the state."""
        places = [[offset + (steps - lag) * self.channels + c for lag in lags] for c in range(self.channels)]
        return ops.take(state, np.array(places), 1)

    def remember(self, values: Array, state: Array, offset: int, steps: int) -> Array:  # noqa: ARG002 - see Sequence
        """`recent` after these values, (B, steps·C)."""
        return ops.concat([state[:, offset + self.channels :], ops.reshape(values, (0, -1))])

    def recur(self, layer: Recurrence, x: Array, state: Array) -> tuple[Array, Array]:
        return layer.step(x, state)

    def from_rows(self, x: Array, like: Array, width: int) -> Array:  # noqa: ARG002 - see Sequence
        """(R, width) as (B, C, width), like another array but for its last axis."""
        return ops.reshape(x, (-1, self.channels, width))

    def delay(self, made: Array, state: Array, offset: int, waits: tuple[int, ...]) -> tuple[Array, Array]:
        """What is due of forecasts like those made (B, C, n·MADE), of which all but the first wait for so many steps, and what
        waits after this step (B, ·): for each wait (wait, C, MADE), one after the other from an offset of the state on.
        """
        size, rest = self.channels * MADE, []
        starts = offset + size * np.cumsum([0, *waits[:-1]])
        first = np.arange(0, size, MADE)[:, None, None] + starts[:, None] + np.arange(MADE)  # (C, n, MADE)
        due = ops.take(state, first.reshape(self.channels, -1), 1)
        for i, (start, wait) in enumerate(zip(starts.tolist(), waits, strict=True), 1):
            rest += [state[:, start + size : start + wait * size]] if wait > 1 else []
            rest.append(ops.reshape(made[..., MADE * i : MADE * (i + 1)], (0, -1)))
        return ops.concat([made[..., 0:MADE], due]), ops.concat(rest)

    def track(self, score: Array, gain: Array, initial: Array, share: NDArray[np.float32]) -> Array:
        """The quantile that is tracked, after each score (B, C, n)."""
        return track(score, gain, initial, share)

    def count(self, x: Array, initial: Array) -> Array:
        """Totals up to each step."""
        return initial + x

    def end(self, x: Array, width: int) -> Array:  # noqa: ARG002 - see Sequence
        """The last step's values."""
        return x


class Sequence:
    """Any number of steps, without a loop in the graph but for the recurrences' own nodes."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def observations(self, values: Array) -> Array:
        """(B, T, C) as (T, B, C, 1)."""
        return ops.expand(ops.transpose(values, 1, 0, 2), 3)

    def answers(self, x: Array) -> Array:
        """(T, B, C, 1) as (B, T, C)."""
        return ops.transpose(ops.reshape(x, (0, -1, self.channels)), 1, 0, 2)

    def shared(self, x: Array, width: int) -> Array:
        """(B, T) or (B, T, K) as (T, B, K)."""
        return ops.transpose(ops.reshape(x, (0, -1, width)), 1, 0, 2)

    def across_channels(self, x: Array) -> Array:
        """(T, B, n) as (T, B, 1, n)."""
        return ops.expand(x, 2)

    def fill(self, observed: Array, known: Array, newest: Array) -> Array:
        """Newest value and steps since it (T, B, C, 2), from the ones before (B, C, 2).

        Without a loop: the k-th observation goes to place k of a buffer, and every step reads the place of its count.
        """
        number = self.number(known)
        count = ops.running_total(ops.to_int(observed), 0)
        count = ops.concat([count, count])
        found = ops.concat([known, ops.where(observed, number, 0.0)])
        initial = ops.expand(newest * np.array([1.0, -1.0], np.float32), 0)
        buffer = ops.scatter_add(ops.concat([initial, found * 0.0], 0), count, found)
        filled = ops.gather(buffer, count)
        return ops.concat([filled[..., 0:1], number - filled[..., 1:2]])

    def number(self, known: Array) -> Array:
        """Which of these steps each is, from 1."""
        return ops.running_total(known * 0.0 + 1.0, 0)

    def mean(self, x: Array, initial: Array, decay: float, width: int) -> Array:
        """The leaky mean of every feature, (T, B, C, width)."""
        rows = leaky_mean(ops.reshape(x, (0, -1, width)), ops.reshape(initial, (-1, width)), decay, width)
        return ops.reshape(rows, (0, -1, self.channels, width))

    def before(self, x: Array, initial: Array) -> Array:
        """The sequence one step earlier."""
        return ops.concat([ops.expand(initial, 0), x[:-1]], 0)

    def lags(self, values: Array, state: Array, offset: int, steps: int, lags: tuple[int, ...]) -> Array:
        """Values `lag` steps back, (T, B, C, lags), where `recent` (steps, C) begins at an offset of the state."""
        window = self._window(values, state, offset, steps)
        return ops.transpose(ops.sliding(window, values, steps - np.array(lags)), 1, 0, 3, 2)

    def remember(self, values: Array, state: Array, offset: int, steps: int) -> Array:
        """`recent` after these values, (B, steps·C)."""
        return ops.reshape(self._window(values, state, offset, steps)[:, -steps:], (0, -1))

    def recur(self, layer: Recurrence, x: Array, state: Array) -> tuple[Array, Array]:
        vector = layer.vectors * layer.units
        outputs, last = layer.sequence(ops.reshape(x, (0, -1, layer.inputs)), ops.reshape(state, (-1, vector)))
        return (
            ops.reshape(outputs, (0, -1, self.channels, layer.units)),
            ops.reshape(last, (-1, self.channels, vector)),
        )

    def from_rows(self, x: Array, like: Array, width: int) -> Array:
        """(R, width) as (T, B, C, width), like another array but for its last axis."""
        return ops.reshape_like(x, like, width)

    def delay(self, made: Array, state: Array, offset: int, waits: tuple[int, ...]) -> tuple[Array, Array]:
        """What is due at each step of forecasts like those made (T, B, C, n·MADE), and what waits after the last."""
        size, due, rest = self.channels * MADE, [made[..., 0:MADE]], []
        for i, wait in enumerate(waits, 1):
            waiting = ops.reshape(state[:, offset : offset + wait * size], (0, wait, size))
            new = ops.reshape(made[..., MADE * i : MADE * (i + 1)], (0, -1, size))
            line = ops.concat([ops.transpose(waiting, 1, 0, 2), new], 0)
            due.append(ops.reshape(line[:-wait], (0, -1, self.channels, MADE)))
            rest.append(ops.reshape(ops.transpose(line[-wait:], 1, 0, 2), (0, -1)))
            offset += wait * size
        return ops.concat(due), ops.concat(rest)

    def track(self, score: Array, gain: Array, initial: Array, share: NDArray[np.float32]) -> Array:
        """The quantile that is tracked, after each score (T, B, C, n)."""
        return ops.scan(lambda k, score, gain: track(score, gain, k, share), initial, score, gain)

    def count(self, x: Array, initial: Array) -> Array:
        """Totals up to each step."""
        return ops.running_total(x, 0) + ops.expand(initial, 0)

    def end(self, x: Array, width: int) -> Array:
        """The last step's values, (B, C, width)."""
        return ops.reshape(x[-1:], (-1, self.channels, width))

    def _window(self, values: Array, state: Array, offset: int, steps: int) -> Array:
        """The remembered observations and the new ones, (B, steps + T, C)."""
        return ops.concat([ops.reshape(state[:, offset:], (0, steps, self.channels)), values], 1)
