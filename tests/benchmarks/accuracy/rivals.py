"""Other forecasters on the same sets: statsforecast's AutoETS and MSTL, neuralforecast's GRU, each with its defaults.

They see the targets alone, with gaps filled forward, are fitted to what comes before the test part, and forecast from every
H-th of its origins without being fitted again. The GRU differs from its defaults in its loss alone: it is that of our nine
quantiles, so that the same scores can be given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.accuracy.forecasts import Forecasts, truth
from tests.benchmarks.accuracy.protocols import judge
from tests.benchmarks.accuracy.runs import LEVELS, Run
from tests.benchmarks.accuracy.sets import Protocol
from training.baselines import fill_forward

WIDTHS = [20, 40, 60, 80]  # of central intervals, in per cent
NAMES = {level: f"-lo-{round(100 * (1 - 2 * level))}" for level in LEVELS if level < 0.5}
NAMES |= {level: f"-hi-{round(100 * (2 * level - 1))}" for level in LEVELS if level > 0.5}


class MissingRivalsError(RuntimeError):
    """The packages of the rivals are not installed."""


def measure(protocol: Protocol, ours: list[Forecasts]) -> list[Run]:
    """Our own forecasts and those of the rivals, all from every H-th origin; raises MissingRivalsError."""
    sparse = replace(protocol, stride=protocol.stride * max(1, protocol.horizon // protocol.stride))
    every = sparse.stride // protocol.stride
    thinned = [replace(one, truth=one.truth[::every], quantiles=one.quantiles[::every]) for one in ours]
    runs = [Run("Tidegate, seed 0", judge(sparse, thinned, LEVELS))]
    table = _table(sparse)
    for name, forecast in _models(sparse).items():
        began, clock = time.process_time(), time.perf_counter()
        found = forecast(table)
        seconds, wall = time.process_time() - began, time.perf_counter() - clock
        forecasts = list(_forecasts(sparse, found, name))
        notes = {"wall_seconds": wall, "origins": sum(len(one.truth) for one in forecasts)}
        runs.append(Run(name, judge(sparse, forecasts, LEVELS), seconds, None, notes))
    return runs


def _models(protocol: Protocol) -> dict[str, Callable[[pl.DataFrame], pl.DataFrame]]:
    """A function for each rival, from the table of all series to its forecasts of the test part."""
    try:
        from neuralforecast import NeuralForecast  # noqa: PLC0415 - only this measurement needs them
        from neuralforecast.losses.pytorch import MQLoss  # noqa: PLC0415
        from neuralforecast.models import GRU  # noqa: PLC0415
        from statsforecast import StatsForecast  # noqa: PLC0415
        from statsforecast.models import MSTL, AutoETS  # noqa: PLC0415
    except ImportError as error:
        raise MissingRivalsError(f"{error.name} is not installed; pip install '.[train,rivals]'") from error
    H, day = protocol.horizon, round(86_400 / protocol.panel.frequency)
    walk: dict[str, Any] = {"step_size": protocol.stride, "n_windows": None, "test_size": _test_size(protocol)}

    def classical(model: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
        return lambda table: StatsForecast([model], freq=1).cross_validation(
            H, table, refit=False, level=WIDTHS, **walk
        )

    def gru(table: pl.DataFrame) -> pl.DataFrame:
        quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
        model = GRU(h=H, loss=MQLoss(quantiles=list(LEVELS)), accelerator="cpu", **quiet)
        found: pl.DataFrame = NeuralForecast([model], freq=1).cross_validation(table, **walk)
        return found

    return {
        "AutoETS": classical(AutoETS(season_length=day)),
        "MSTL": classical(MSTL(season_length=[day, 7 * day])),
        "GRU": gru,
    }


def _test_size(protocol: Protocol) -> int:
    """The steps from the first origin to the end of the last forecast, which are as many in all series."""
    sizes = {
        origins[-1] + protocol.horizon - origins[0]
        for origins in map(protocol.origins, range(len(protocol.panel.series)))
    }
    if len(sizes) > 1:
        raise ValueError(f"the series of {protocol.name} have test parts of {sorted(sizes)} steps; the rivals need one")
    return sizes.pop()


def _table(protocol: Protocol) -> pl.DataFrame:
    """All series and channels below each other, up to the end of the last forecast."""
    parts = []
    for i, series in enumerate(protocol.panel.series):
        values = np.nan_to_num(fill_forward(series.values[: protocol.origins(i)[-1] + protocol.horizon + 1]))
        for c in range(values.shape[1]):
            rows = {"unique_id": f"{i:04d}/{c:02d}", "ds": np.arange(len(values)), "y": values[:, c].astype(np.float64)}
            parts.append(pl.DataFrame(rows))
    return pl.concat(parts)


def _forecasts(protocol: Protocol, found: pl.DataFrame, name: str) -> Iterator[Forecasts]:
    by_series = found.sort("unique_id", "cutoff", "ds").partition_by("unique_id", as_dict=True)
    columns = _columns(found.columns, name)
    for i in range(len(protocol.panel.series)):
        channels = []
        for c in range(len(protocol.panel.channels)):
            rows = by_series[f"{i:04d}/{c:02d}",].select(columns).to_numpy()
            channels.append(rows.reshape(-1, protocol.horizon, len(LEVELS)))
        yield Forecasts(i, truth(protocol, i), np.sort(np.stack(channels, 2), axis=-1))


def _columns(names: list[str], model: str) -> list[str]:
    """The columns of our levels, in order; the middle one is called after the model, or its median."""
    middle = f"{model}-median" if f"{model}-median" in names else model
    return [middle if level == 0.5 else _near(names, model + NAMES[level]) for level in LEVELS]


def _near(names: list[str], wanted: str) -> str:
    """A column's name, which may carry its number as 20 or as 20.0."""
    return next(name for name in names if name.removesuffix(".0") == wanted)
