"""The backtest: every origin of the test part, forecast by the exported graphs in one pass over the data.

Forecasts are scored as they are made and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training import baselines
from training.dataset import Panel, Split
from training.graphs import Graphs
from training.origins import Laid, Origins, gathered, stream
from training.scores import Sums, middle

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
