"""The forecasts that anyone can make without learning: the last value, or the value a season ago.

Series lie end to end in `values` (rows, C), NaN where missing; an `origin` (n,) is the row of the last observation that a
forecast may use, and `first` (n,) the row where its series begins. Forecasts are (n, H, C).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEASONS_BACK = 2  # how many seasons ago a value is looked for
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


def naive(filled: Floats, origin: Rows, horizon: int) -> Floats:
    """The last value that is known, of values that were filled forward."""
    return np.repeat(filled[origin][:, None], horizon, axis=1)


def seasonal_naive(values: Floats, filled: Floats, first: Rows, origin: Rows, horizon: int, season: int) -> Floats:
    """The newest value of the same phase; where it is missing that of the season before, then the last that is known."""
    ahead = np.arange(1, horizon + 1)
    newest = origin[:, None] + ahead - season * -(-ahead // season)
    forecast = np.full((len(origin), horizon, values.shape[1]), np.nan, np.float32)
    for back in range(SEASONS_BACK):
        rows = newest - back * season
        found = values[np.maximum(rows, first[:, None])]
        found = np.where((rows >= first[:, None])[..., None], found, np.float32(np.nan))
        forecast = np.where(np.isnan(forecast), found, forecast)
    return np.where(np.isnan(forecast), naive(filled, origin, horizon), forecast)


def fill_forward(values: Floats) -> Floats:
    """One series (T, C) with the last known value where one is missing; NaN before the first."""
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    return np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)


def seasonal_scale(past: Floats, season: int) -> NDArray[np.float64]:
    """MASE's unit: the mean absolute change of each channel over a season, (C,) from (T, C); NaN where none is known."""
    change = np.abs(past[season:].astype(np.float64) - past[:-season])
    known = ~np.isnan(change)
    count = known.sum(0)
    total = np.where(known, change, 0.0).sum(0)
    scale: NDArray[np.float64] = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return scale
