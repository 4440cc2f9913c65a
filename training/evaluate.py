"""The backtest: every origin of the test part, forecast by the exported graphs in one pass over the data.

Each series is one session, as in serving: its history is encoded once, then a step moves its state and a forecast is read
from it. All series advance together; forecasts are scored as they are made and not kept.
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
from training.scores import Sums, middle

ROWS = 256  # forecasts that are decoded and scored together
OURS, NAIVE = "tidegate", "naive"
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scored:
    """The sums of one forecaster, by step ahead and by series and channel (in this order, channels varying fastest)."""

    by_horizon: Sums
    by_series: Sums

    @classmethod
    def zeros(cls, horizon: int, series: int, levels: int) -> Scored:
        return cls(Sums.zeros(horizon, levels), Sums.zeros(series, levels))


@dataclass(frozen=True, slots=True)
class Backtest:
    """What the backtest found: sums by forecaster, over `origins` of all series; `scale` (series·C,) is MASE's unit."""

    levels: tuple[float, ...]
    scored: dict[str, Scored]
    scale: NDArray[np.float64]
    origins: int
    season: int  # of the scale
    rival: str


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


def backtest(graphs: Graphs, panel: Panel, split: Split) -> Backtest:
    """Score the graphs and the baselines at every origin whose whole horizon lies in the test part."""
    bundle, laid = graphs.bundle, Laid(panel)
    groups = bundle.horizon, len(panel.series) * len(bundle.channels), len(bundle.quantiles)
    names = (OURS, NAIVE, *map(seasonal, bundle.seasons))
    scored = {name: Scored.zeros(*groups) for name in names}
    count = 0
    for origins in gathered(stream(graphs, laid, split)):
        count += len(origins.row)
        truth, forecasts = forecast(graphs, laid, origins)
        for name, quantiles in forecasts.items():
            score(scored[name], origins.series, truth, quantiles, bundle.quantiles)
    season = min(bundle.seasons, default=1)
    parts = zip(panel.series, split.test_from, strict=True)
    scale = np.concatenate([baselines.seasonal_scale(series.values[:stop], season) for series, stop in parts])
    rival = seasonal(max(bundle.seasons)) if bundle.seasons else NAIVE
    return Backtest(bundle.quantiles, scored, scale, count, season, rival)


def forecast(graphs: Graphs, laid: Laid, origins: Origins) -> tuple[Floats, dict[str, Floats]]:
    """The truths (n, H, C) after n origins and what each forecaster said, (n, H, C, Q); a baseline says one point for all Q."""
    bundle = graphs.bundle
    first = laid.first[origins.series]
    at = first + origins.row
    ahead = at[:, None] + np.arange(1, bundle.horizon + 1)
    future = laid.covariates[ahead][..., laid.ahead]
    points = {NAIVE: baselines.naive(laid.filled, at, bundle.horizon)}
    for season in bundle.seasons:
        point = baselines.seasonal_naive(laid.values, laid.filled, first, at, bundle.horizon, season)
        points[seasonal(season)] = point
    quantiles = graphs.decode(origins.state, laid.time(origins.series, origins.row), future)
    spread = {name: np.repeat(point[..., None], len(bundle.quantiles), axis=-1) for name, point in points.items()}
    return laid.values[ahead], {OURS: quantiles} | spread


def seasonal(season: int) -> str:
    """What the seasonal naive forecast of a season is called."""
    return f"seasonal-naive-{season}"


def score(
    scored: Scored,
    series: Ints,
    truth: Floats,
    quantiles: Floats,
    levels: tuple[float, ...],
) -> None:
    """Add forecasts (n, H, C, Q) of series (n,), and their truths (n, H, C), to the sums."""
    n, H, C, Q = quantiles.shape
    by_horizon = np.broadcast_to(np.arange(H)[:, None], (n, H, C)).ravel()
    by_series = np.broadcast_to(series[:, None, None] * C + np.arange(C), (n, H, C)).ravel()
    flat = truth.astype(np.float64).ravel(), quantiles.astype(np.float64).reshape(-1, Q)
    for sums, group in ((scored.by_horizon, by_horizon), (scored.by_series, by_series)):
        sums.add(group, *flat, np.array(levels), middle(levels))


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
