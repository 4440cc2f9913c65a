"""Every origin of the test part, in the order of time, with the states that all series have there.

Each series is one session, as in serving: its history is encoded once, then every step moves its state. All series advance
together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training import baselines
from training.dataset import Panel, Split
from training.graphs import Graphs

ROWS = 256  # forecasts that are decoded and scored together
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Origins:
    """Places to forecast from: series (n,), the row in it of the last observation (n,), and the states there (n, S)."""

    series: Ints
    row: Ints
    state: Floats

    def rows(self, chosen: slice) -> Origins:
        """Some of them."""
        return Origins(self.series[chosen], self.row[chosen], self.state[chosen])


class Laid:
    """A panel's series end to end, so that many of them are read at once."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.first = np.cumsum([0, *(len(series) for series in panel.series[:-1])])
        self.values = np.concatenate([series.values for series in panel.series])
        self.covariates = np.concatenate([series.covariates for series in panel.series])
        self.filled = np.concatenate([baselines.fill_forward(series.values) for series in panel.series])
        self.start = np.array([series.start for series in panel.series])
        self.ahead = [i for i, covariate in enumerate(panel.covariates) if covariate.known_ahead]

    def time(self, series: Ints, row: Ints) -> Ints:
        """Epoch seconds of rows of series."""
        return self.start[series] + row * self.panel.frequency


def stream(graphs: Graphs, laid: Laid, split: Split) -> Iterator[Origins]:
    """All origins in the order of time, with the states of the series that have one there.

    Steps are counted from the moment at which the test part begins, which is the same in all series; between two steps at
    which a series begins or ends its test part, the same ones advance together.
    """
    H, panel = graphs.bundle.horizon, laid.panel
    test_from = np.array(split.test_from)
    begin = -test_from
    end = np.array([len(series) for series in panel.series]) - test_from - H  # one after the last origin
    state = graphs.fresh(len(panel.series))
    fences = sorted({-1, *begin.tolist(), *end.tolist()})
    for start, stop in pairwise(fences):
        active = np.flatnonzero((begin <= start) & (end >= stop))
        if not len(active):
            continue
        if stop <= -1:
            state[active] = _advance(graphs, laid, active, test_from[active] + start, stop - start, state[active])
            continue
        for step in range(start, stop):
            row = test_from[active] + step
            state[active] = _advance(graphs, laid, active, row, 1, state[active])
            yield Origins(active, row, state[active])


def gathered(parts: Iterator[Origins]) -> Iterator[Origins]:
    """The same origins, at most ROWS at a time and about as many where there are more."""
    waiting: list[Origins] = []
    count = 0
    for part in parts:
        for start in range(0, len(part.row), ROWS):
            some = part.rows(slice(start, start + ROWS))
            if count + len(some.row) > ROWS:
                yield _joined(waiting)
                waiting, count = [], 0
            waiting.append(some)
            count += len(some.row)
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Origins]) -> Origins:
    return Origins(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("series", "row", "state")))


def _advance(
    graphs: Graphs,
    laid: Laid,
    series: Ints,
    row: Ints,
    steps: int,
    state: Floats,
) -> Floats:
    """The states (n, S) of series after `steps` observations from rows (n,) on."""
    rows = row[:, None] + np.arange(steps)
    at = laid.first[series][:, None] + rows
    return graphs.encode(laid.values[at], laid.time(series[:, None], rows), laid.covariates[at], state)
