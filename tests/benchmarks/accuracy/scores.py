"""How forecasts are judged. Truths are (…, H, C) with NaN where unknown, quantiles (…, H, C, Q), points (…, H, C)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def smape(truth: Floats, point: Floats) -> float:
    """The M4 competition's symmetric percentage error, in per cent: mean of 200·|y − f| / (|y| + |f|)."""
    size = np.abs(truth) + np.abs(point)
    return float(np.nanmean(200 * np.abs(truth - point) / np.where(size > 0, size, 1)))


def mase_scale(history: Floats, season: int) -> Floats:
    """The mean size of change from season to season in a history (T, C): (C,)."""
    scale: Floats = np.nanmean(np.abs(history[season:] - history[:-season]), axis=0)
    return scale


def mase(truth: Floats, point: Floats, scale: Floats) -> float:
    """The mean absolute error in units of `scale` (C,) (Hyndman & Koehler 2006)."""
    return float(np.nanmean(np.abs(truth - point) / scale))


def weighted_quantile_loss(truth: Floats, quantiles: Floats, levels: tuple[float, ...]) -> float:
    """Twice the quantile loss over the sum of |y|, averaged over the levels, as GluonTS and fev have it."""
    error = truth[..., None] - quantiles
    loss = np.maximum(np.array(levels) * error, (np.array(levels) - 1) * error)
    return float(2 * np.nansum(loss) / len(levels) / np.nansum(np.abs(truth)))


def coverage(truth: Floats, lower: Floats, upper: Floats) -> float:
    """The share of truths within an interval."""
    known = ~np.isnan(truth)
    return float(((truth >= lower) & (truth <= upper))[known].mean())


def owa(smape: float, mase: float, naive2: tuple[float, float]) -> float:
    """The M4 competition's overall weighted average: the mean of both errors in units of Naive2's."""
    return (smape / naive2[0] + mase / naive2[1]) / 2


def mean_of_quantiles(quantiles: Floats, levels: tuple[float, ...]) -> Floats:
    """The mean of the distribution that quantiles describe, linear between them and flat beyond: (…, Q) to (…)."""
    edges = np.concatenate([[0.0], (np.array(levels)[1:] + np.array(levels)[:-1]) / 2, [1.0]])
    mean: Floats = quantiles @ np.diff(edges)
    return mean
