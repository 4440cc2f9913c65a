"""Time, in the two ways the forecaster is served: one step at a time, or a whole sequence at once.

Both have the same methods, so `model.serving` is written once. Rows are the channels of sessions, R = B · C, so that all is a
matrix: values of a step are (R, n); of a sequence (T, R, n).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.calibration import track
from model.contract import StateSlice
from model.ops import Array
from model.recurrences import Recurrence, leaky_mean, leaky_step

MADE = 3  # numbers that are kept of a forecast: the median and its distances to the band


def by_channel(x: Array, channels: int, width: int) -> Array:
    """What the channels of a session share, (B, width), as (R, width)."""
    if channels == 1:
        return x
    return ops.reshape(ops.expand(x, 1) + np.zeros((channels, 1), np.float32), (-1, width))


def part_of(part: StateSlice, state: Array) -> Array:
    """A slice of states whose first axis are the channels, (R, ·)."""
    found = state[:, part.span]
    return found if part.shape[0] == 1 else ops.reshape(found, (-1, part.size // part.shape[0]))


class OneStep:
    """T is 1, and everything is plain operators, which every execution provider runs; but with `nodes` for the recurrences,
    which give the bits that they give to a sequence.
    """

    def __init__(self, channels: int, *, nodes: bool) -> None:
        self.channels, self.nodes = channels, nodes

    def observations(self, values: Array) -> Array:
        """(B, 1, C) as (R, 1)."""
        return ops.reshape(values, (-1, 1))

    def answers(self, x: Array) -> Array:
        """(R, 1) as (B, 1, C)."""
        return ops.reshape(x, (-1, 1, self.channels))

    def shared(self, x: Array, width: int) -> Array:
        """What the channels of a session share, (B, 1, K) as (B, K)."""
        return ops.reshape(x, (-1, width))

    def across_channels(self, x: Array, width: int) -> Array:
        """(B, width) as (R, width)."""
        return by_channel(x, self.channels, width)

    def fill(self, observed: Array, known: Array, newest: Array) -> Array:
        """Newest value and steps since it (R, 2), from the ones before."""
        gap = ops.where(observed, 0.0, newest[..., 1:2] + 1.0)
        return ops.concat([ops.where(observed, known, newest[..., 0:1]), gap])

    def number(self, known: Array) -> Array:  # noqa: ARG002 - see Sequence
        """Which of these steps each is, from 1."""
        return np.float32(1)

    def mean(self, x: Array, initial: Array, decays: NDArray[np.float64]) -> Array:
        """The leaky mean of every feature (R, n), each with its decay."""
        return leaky_step(x, initial, decays)

    def before(self, x: Array, initial: Array) -> Array:  # noqa: ARG002 - a single step has nothing but the initial before it
        """What a quantity of the step before was."""
        return initial

    def lags(self, values: Array, state: Array, offset: int, steps: int, lags: tuple[int, ...]) -> Array:  # noqa: ARG002 - see Sequence
        """Values `lag` steps back, (R, lags), where `recent` (steps, C) begins at an offset of the state."""
        places = [[offset + (steps - lag) * self.channels + c for lag in lags] for c in range(self.channels)]
        return self._taken(state, np.array(places))

    def remember(self, values: Array, state: Array, offset: int, steps: int) -> Array:  # noqa: ARG002 - see Sequence
        """`recent` after these values, (B, steps·C)."""
        return ops.concat([state[:, offset + self.channels :], ops.reshape(values, (0, -1))])

    def recur(self, layer: Recurrence, x: Array, state: Array) -> tuple[Array, Array]:
        """The outputs of a layer and its state (R, V·N) after the last step."""
        if not self.nodes:
            return layer.step(x, state)
        outputs, last = layer.sequence(ops.expand(x, 0), state)
        return ops.reshape(outputs, (-1, layer.units)), last

    def rows(self, x: Array, width: int) -> Array:  # noqa: ARG002 - see Sequence
        """As a matrix, (R, width)."""
        return x

    def from_rows(self, x: Array, like: Array, width: int) -> Array:  # noqa: ARG002 - see Sequence
        """From a matrix, with the axes of another array but for its last."""
        return x

    def delay(self, made: Array, state: Array, offset: int, waits: tuple[int, ...]) -> tuple[Array, Array]:
        """What is due of forecasts like those made (R, n·MADE), of which all but the first wait for so many steps, and what
        waits after this step (B, ·): for each wait (wait, C, MADE), one after the other from an offset of the state on.
        """
        size, rest = self.channels * MADE, []
        starts = offset + size * np.cumsum([0, *waits[:-1]])
        first = np.arange(0, size, MADE)[:, None, None] + starts[:, None] + np.arange(MADE)  # (C, n, MADE)
        due = self._taken(state, first.reshape(self.channels, -1))
        new = ops.split(made, [MADE] * (1 + len(waits)))
        for start, wait, its_new in zip(starts.tolist(), waits, new[1:], strict=True):
            rest += [state[:, start + size : start + wait * size]] if wait > 1 else []
            rest.append(self.end(its_new, MADE))
        return ops.concat([new[0], due]), ops.concat(rest)

    def track(self, score: Array, gain: Array, initial: Array, share: NDArray[np.float32]) -> Array:
        """The quantile that is tracked, after each score (R, n)."""
        return track(score, gain, initial, share)

    def count(self, x: Array, initial: Array) -> Array:
        """Totals up to each step."""
        return initial + x

    def end(self, x: Array, width: int) -> Array:
        """The last step's values, (B, C·width)."""
        return x if self.channels == 1 else ops.reshape(x, (-1, self.channels * width))

    def _taken(self, state: Array, places: NDArray[np.int64]) -> Array:
        """What lies at places (C, n) of a state, (R, n)."""
        if self.channels == 1:
            return ops.take(state, places[0], 1)
        return ops.reshape(ops.take(state, places, 1), (-1, places.shape[1]))


class Sequence:
    """Any number of steps, without a loop in the graph but for the recurrences' own nodes."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def observations(self, values: Array) -> Array:
        """(B, T, C) as (T, R, 1)."""
        return ops.reshape(ops.transpose(values, 1, 0, 2), (0, -1, 1))

    def answers(self, x: Array) -> Array:
        """(T, R, 1) as (B, T, C)."""
        return ops.transpose(ops.reshape(x, (0, -1, self.channels)), 1, 0, 2)

    def shared(self, x: Array, width: int) -> Array:
        """(B, T) or (B, T, K) as (T, B, K)."""
        return ops.transpose(ops.reshape(x, (0, -1, width)), 1, 0, 2)

    def across_channels(self, x: Array, width: int) -> Array:
        """(T, B, width) as (T, R, width)."""
        if self.channels == 1:
            return x
        return ops.reshape(ops.expand(x, 2) + np.zeros((self.channels, 1), np.float32), (0, -1, width))

    def fill(self, observed: Array, known: Array, newest: Array) -> Array:
        """Newest value and steps since it (T, R, 2), from the ones before (R, 2).

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

    def mean(self, x: Array, initial: Array, decays: NDArray[np.float64]) -> Array:
        """The leaky mean of every feature, (T, R, n)."""
        return leaky_mean(x, initial, decays)

    def before(self, x: Array, initial: Array) -> Array:
        """The sequence one step earlier."""
        return ops.concat([ops.expand(initial, 0), x[:-1]], 0)

    def lags(self, values: Array, state: Array, offset: int, steps: int, lags: tuple[int, ...]) -> Array:
        """Values `lag` steps back, (T, R, lags), where `recent` (steps, C) begins at an offset of the state."""
        found = ops.sliding(self._window(values, state, offset, steps), values, steps - np.array(lags))
        return ops.reshape(ops.transpose(found, 1, 0, 3, 2), (0, -1, len(lags)))

    def remember(self, values: Array, state: Array, offset: int, steps: int) -> Array:
        """`recent` after these values, (B, steps·C)."""
        return ops.reshape(self._window(values, state, offset, steps)[:, -steps:], (0, -1))

    def recur(self, layer: Recurrence, x: Array, state: Array) -> tuple[Array, Array]:
        """The outputs of a layer and its state (R, V·N) after the last step."""
        return layer.sequence(x, state)

    def rows(self, x: Array, width: int) -> Array:
        """As a matrix, (T·R, width)."""
        return ops.reshape(x, (-1, width))

    def from_rows(self, x: Array, like: Array, width: int) -> Array:
        """From a matrix, with the axes of another array but for its last."""
        return ops.reshape_like(x, like, width)

    def delay(self, made: Array, state: Array, offset: int, waits: tuple[int, ...]) -> tuple[Array, Array]:
        """What is due at each step of forecasts like those made (T, R, n·MADE), and what waits after the last."""
        size, due, rest = self.channels * MADE, [made[..., 0:MADE]], []
        for i, wait in enumerate(waits, 1):
            waiting = ops.reshape(state[:, offset : offset + wait * size], (0, wait, size))
            new = ops.reshape(made[..., MADE * i : MADE * (i + 1)], (0, -1, size))
            line = ops.concat([ops.transpose(waiting, 1, 0, 2), new], 0)
            due.append(ops.reshape(line[:-wait], (0, -1, MADE)))
            rest.append(ops.reshape(ops.transpose(line[-wait:], 1, 0, 2), (0, -1)))
            offset += wait * size
        return ops.concat(due), ops.concat(rest)

    def track(self, score: Array, gain: Array, initial: Array, share: NDArray[np.float32]) -> Array:
        """The quantile that is tracked, after each score (T, R, n)."""
        return ops.scan(lambda k, score, gain: track(score, gain, k, share), initial, score, gain)

    def count(self, x: Array, initial: Array) -> Array:
        """Totals up to each step."""
        return ops.running_total(x, 0) + ops.expand(initial, 0)

    def end(self, x: Array, width: int) -> Array:
        """The last step's values, (B, C·width)."""
        return ops.reshape(x[-1:], (-1, self.channels * width))

    def _window(self, values: Array, state: Array, offset: int, steps: int) -> Array:
        """The remembered observations and the new ones, (B, steps + T, C)."""
        return ops.concat([ops.reshape(state[:, offset:], (0, steps, self.channels)), values], 1)
