"""Forecasters of other packages, each with its defaults: statsforecast's AutoETS and MSTL, and neuralforecast's GRU.

They see the targets alone, with gaps filled forward, are fitted once to what comes before the test part, and forecast from
every origin of the protocol. The GRU differs from its defaults in its loss alone: it is that of our nine quantiles, so that
the same scores can be given.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.accuracy.forecasts import Forecasts, truth
from tests.benchmarks.accuracy.runs import LEVELS
from tests.benchmarks.accuracy.sets import Protocol
from training.baselines import fill_forward

HISTORY = 2_000  # values of each series that AutoETS and MSTL see: MSTL takes all of them apart for each forecast
WIDTHS = [20, 40, 60, 80]  # of central intervals, in per cent: their ends are our levels
BOUNDS = [*(f"lo-{width}" for width in reversed(WIDTHS)), "mean", *(f"hi-{width}" for width in WIDTHS)]
SEED, ROUNDS = 1, 20  # of the GRU; forecasts that its latency is the median of
Floats = NDArray[np.float64]


class MissingRivalsError(RuntimeError):
    """The packages of the rivals are not installed."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Forecasts of all series; processor time of all fits, and the median wall time of one forecast of one series."""

    forecasts: list[Forecasts]
    cpu_seconds: float
    microseconds: float


def packages() -> dict[str, Callable[[Protocol], Walk]]:
    """What walks a protocol, by the name of the method; raises MissingRivalsError."""
    try:
        import neuralforecast  # noqa: F401, PLC0415 - only this measurement needs them
        from statsforecast.models import MSTL, AutoETS  # noqa: PLC0415
    except ImportError as error:
        raise MissingRivalsError(f"{error.name} is not installed; pip install '.[train,rivals]'") from error
    warnings.filterwarnings("ignore", module="statsforecast|neuralforecast|lightning|pytorch_lightning")
    return {
        "AutoETS": lambda protocol: _classical(protocol, lambda day: AutoETS(season_length=day)),
        "MSTL": lambda protocol: _classical(protocol, lambda day: MSTL(season_length=[day, 7 * day])),
        "GRU": _gru,
    }


def _classical(protocol: Protocol, create: Callable[[int], Any]) -> Walk:
    """One model for each series and channel, applied to the newest values at each origin without another fit."""
    day = round(86_400 / protocol.panel.frequency)
    forecasts, seconds, took = [], 0.0, []
    for i in range(len(protocol.panel.series)):
        origins, channels = protocol.origins(i), []
        for y in _targets(protocol, i).T:
            model, began = create(day), time.process_time()
            model.fit(_newest(y, origins[0], HISTORY))
            seconds += time.process_time() - began
            found = []
            for origin in origins:
                clock = time.perf_counter()
                bounds = model.forward(_newest(y, origin, HISTORY), protocol.horizon, level=WIDTHS)
                took.append(time.perf_counter() - clock)
                found.append(np.stack([bounds[name] for name in BOUNDS], axis=-1))
            channels.append(np.stack(found))
        forecasts.append(Forecasts(i, truth(protocol, i), np.sort(np.stack(channels, axis=2), axis=-1)))
    return Walk(forecasts, seconds, float(np.median(took) * 1e6))


def _gru(protocol: Protocol) -> Walk:
    """One network for all series and channels."""
    from neuralforecast import NeuralForecast  # noqa: PLC0415 - see above
    from neuralforecast.losses.pytorch import MQLoss  # noqa: PLC0415
    from neuralforecast.models import GRU  # noqa: PLC0415

    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    model = GRU(protocol.horizon, loss=MQLoss(quantiles=list(LEVELS)), random_seed=SEED, accelerator="cpu", **quiet)
    forecaster = NeuralForecast([model], freq=1)
    history, asked = _table(protocol, None), _table(protocol, model.input_size)
    began = time.process_time()
    forecaster.fit(history)
    seconds = time.process_time() - began
    found, took = forecaster.predict(asked), []
    for _, one in zip(range(ROUNDS), asked.partition_by("unique_id", maintain_order=True), strict=False):
        clock = time.perf_counter()
        forecaster.predict(one)
        took.append(time.perf_counter() - clock)
    return Walk(_forecasts(protocol, found), seconds, float(np.median(took) * 1e6))


def _targets(protocol: Protocol, i: int) -> Floats:
    """The values (T, C) of a series with gaps filled forward, and zero before the first."""
    return np.nan_to_num(fill_forward(protocol.panel.series[i].values)).astype(np.float64)


def _newest(y: Floats, origin: int, count: int) -> Floats:
    return y[max(0, origin + 1 - count) : origin + 1]


def _table(protocol: Protocol, count: int | None) -> pl.DataFrame:
    """As series below each other: all that comes before the test part, or the newest `count` values at each origin."""
    parts = []
    for i in range(len(protocol.panel.series)):
        origins = protocol.origins(i)
        for c, y in enumerate(_targets(protocol, i).T):
            for n, origin in enumerate(origins if count else origins[:1]):
                part = _newest(y, origin, count or origin + 1)
                rows = {"unique_id": f"{i:04d}/{c:02d}/{n:05d}", "ds": np.arange(len(part)), "y": part}
                parts.append(pl.DataFrame(rows))
    return pl.concat(parts)


def _forecasts(protocol: Protocol, found: pl.DataFrame) -> list[Forecasts]:
    """From the GRU's table, whose rows are in the order of _table's."""
    lower = [f"GRU-lo-{width}.0" for width in reversed(WIDTHS)]
    columns = [*lower, "GRU-median", *(f"GRU-hi-{width}.0" for width in WIDTHS)]
    rows = found.sort("unique_id", "ds").select(columns).to_numpy().astype(np.float64)
    forecasts, begin = [], 0
    for i in range(len(protocol.panel.series)):
        shape = (len(protocol.panel.channels), len(protocol.origins(i)), protocol.horizon, len(LEVELS))
        end = begin + shape[0] * shape[1] * shape[2]
        quantiles = rows[begin:end].reshape(shape).transpose(1, 2, 0, 3)
        forecasts.append(Forecasts(i, truth(protocol, i), np.sort(quantiles, axis=-1)))
        begin = end
    return forecasts
