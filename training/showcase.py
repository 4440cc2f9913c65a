"""What the report draws from the graphs themselves: forecasts at chosen origins, and the gates over a recent stretch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.dataset import Panel, Split
from training.evaluate import OURS, Backtest, forecast
from training.graphs import Graphs
from training.origins import Laid, Origins
from training.scores import wql

FANS = 6
STRETCH = 240  # steps shown at the most
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shown:
    """The series and channel that the report draws: of several, the one with the median error."""

    series: int
    channel: int
    name: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A forecast to draw: `time` (H,), `truth` and `rival` (H,), `quantiles` (H, Q), after the `past` (P,) at `past_time`."""

    past_time: NDArray[np.datetime64]
    past: Floats
    time: NDArray[np.datetime64]
    truth: Floats
    rival: Floats
    quantiles: Floats


@dataclass(frozen=True, slots=True)
class Gates:
    """Values (T,) and gates (T, units) of the shown channel at `time` (T,)."""

    time: NDArray[np.datetime64]
    values: Floats
    update: Floats
    reset: Floats


def choose(backtest: Backtest, panel: Panel) -> Shown:
    """The series and channel to draw."""
    error = wql(backtest.scored[OURS].by_series)
    chosen = int(np.argsort(error)[(len(error) - 1) // 2])
    series, channel = divmod(chosen, len(panel.channels))
    several = len(panel.series) > 1
    name = f"{panel.series[series].id}, {panel.channels[channel]}" if several else panel.channels[channel]
    return Shown(series, channel, name)


def back_to_back(graphs: Graphs, panel: Panel, split: Split, shown: Shown, rival: str) -> list[Drawn]:
    """Forecasts that follow each other without a gap, over the last stretch of the test part."""
    H, series = graphs.bundle.horizon, panel.series[shown.series]
    last = len(series) - 1 - H
    count = min(max(1, STRETCH // H), 1 + (last - split.test_from[shown.series] + 1) // H)
    return _forecasts(graphs, panel, shown, [last - H * i for i in reversed(range(count))], rival, 0)


def fans(graphs: Graphs, panel: Panel, split: Split, shown: Shown, rival: str) -> list[Drawn]:
    """Forecasts from origins spread over the test part, each after as much of its past as it is long, twice."""
    H, first = graphs.bundle.horizon, split.test_from[shown.series] - 1
    last = len(panel.series[shown.series]) - 1 - H
    rows = sorted(set(np.linspace(first, last, FANS + 2).astype(int)[1:-1].tolist() or [first]))
    return _forecasts(graphs, panel, shown, rows, rival, 2 * H)


def gates(graphs: Graphs, panel: Panel, shown: Shown) -> Gates:
    """The last layer's gates over the last stretch of the data."""
    laid, bundle = Laid(panel), graphs.bundle
    length = len(panel.series[shown.series])
    begin = max(0, length - STRETCH)
    series, rows = np.array([shown.series]), np.arange(begin, length)
    state = _states(graphs, laid, shown.series, [begin - 1])[0][None] if begin else graphs.fresh(1)
    at = laid.first[shown.series] + rows
    time = laid.time(series, rows)
    update, reset = graphs.explain(laid.values[at][None], time[None], laid.covariates[at][None], state)
    layer = (shown.channel + 1) * bundle.layers - 1  # the channel's last
    return Gates(_dates(time), laid.values[at, shown.channel], update[0, :, layer], reset[0, :, layer])


def _forecasts(graphs: Graphs, panel: Panel, shown: Shown, rows: list[int], rival: str, past: int) -> list[Drawn]:
    laid = Laid(panel)
    series = np.full(len(rows), shown.series)
    states = _states(graphs, laid, shown.series, rows)
    truth, said = forecast(graphs, laid, Origins(series, np.array(rows), states))
    drawn = []
    for i, row in enumerate(rows):
        before = np.arange(max(0, row + 1 - past), row + 1)
        after = np.arange(row + 1, row + 1 + graphs.bundle.horizon)
        drawn.append(
            Drawn(
                past_time=_dates(laid.time(series[:1], before)),
                past=laid.values[laid.first[shown.series] + before, shown.channel],
                time=_dates(laid.time(series[:1], after)),
                truth=truth[i, :, shown.channel],
                rival=said[rival][i, :, shown.channel, 0],
                quantiles=said[OURS][i, :, shown.channel],
            )
        )
    return drawn


def _states(graphs: Graphs, laid: Laid, series: int, rows: list[int]) -> Floats:
    """The states (n, S) of one series after ascending rows."""
    state, found = graphs.fresh(1), []
    for start, stop in pairwise([0, *(row + 1 for row in rows)]):
        steps = np.arange(start, stop)
        at = laid.first[series] + steps
        time = laid.time(np.array([series]), steps)
        state = graphs.encode(laid.values[at][None], time[None], laid.covariates[at][None], state)
        found.append(state[0])
    return np.array(found)


def _dates(seconds: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return seconds.astype("datetime64[s]")
