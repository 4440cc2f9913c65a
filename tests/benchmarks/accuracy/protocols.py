"""What a protocol says of forecasts: its scores, by name."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tests.benchmarks.accuracy import scores
from tests.benchmarks.accuracy.forecasts import Forecasts
from tests.benchmarks.accuracy.sets import Protocol

NAIVE2 = (18.383, 2.395)  # sMAPE and MASE of M4-Hourly, from the competition's published scores


def judge(protocol: Protocol, forecasts: Iterable[Forecasts], levels: tuple[float, ...]) -> dict[str, float]:
    """Scores of forecasts of all series; each series counts alike for sMAPE and MASE, as in M4."""
    middle = levels.index(0.5)
    found, smapes, mases = list(forecasts), [], []
    for forecast in found:
        history = protocol.panel.series[forecast.series].values[: protocol.split.test_from[forecast.series]]
        scale = scores.mase_scale(history.astype(np.float64), 24 if protocol.name == "m4-hourly" else protocol.season)
        point = forecast.quantiles[..., middle]
        smapes.append(scores.smape(forecast.truth, point))
        mases.append(scores.mase(forecast.truth, point, scale))
    truth = np.concatenate([forecast.truth for forecast in found])
    quantiles = np.concatenate([forecast.quantiles for forecast in found])
    result = {
        "smape": float(np.mean(smapes)),
        "mase": float(np.mean(mases)),
        "wql": scores.weighted_quantile_loss(truth, quantiles, levels),
        "coverage80": scores.coverage(truth, quantiles[..., 0], quantiles[..., -1]),
    }
    if protocol.name == "m4-hourly":
        result["owa"] = scores.owa(result["smape"], result["mase"], NAIVE2)
    if protocol.name.startswith("ett"):
        result |= _standardised(protocol, truth, quantiles, levels)
    return result


def _standardised(
    protocol: Protocol, truth: scores.Floats, quantiles: scores.Floats, levels: tuple[float, ...]
) -> dict[str, float]:
    """Squared error of the mean and absolute error of the median, in units of the training part's deviation."""
    train = protocol.panel.series[0].values[: protocol.split.validate_from[0]].astype(np.float64)
    deviation = train.std(axis=0)
    mean = (truth - scores.mean_of_quantiles(quantiles, levels)) / deviation
    median = (truth - quantiles[..., levels.index(0.5)]) / deviation
    return {
        "mse": float(np.mean(mean**2)),
        "mae": float(np.mean(np.abs(median))),
        "mse_of_median": float(np.mean(median**2)),
        "mae_of_mean": float(np.mean(np.abs(mean))),
    }
