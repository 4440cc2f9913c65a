"""The data sets and their protocols: which part is learned from, which is judged, from which origins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.contract import Covariate
from training.clock import Kind
from training.dataset import Panel, Series, Split

HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Protocol:
    """A panel, its parts, and what is asked of a forecaster.

    Forecasts of `horizon` steps start from every `stride`-th origin of the test part, beginning with the last observation
    before it. `season` (steps) is that of the seasonal naive forecast. `recipe` are choices of the fit beside its defaults.
    """

    name: str
    panel: Panel
    split: Split
    horizon: int
    season: int
    stride: int = 1
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def sparse(self) -> Protocol:
        """The same from every H-th origin alone."""
        return replace(self, stride=self.stride * max(1, self.horizon // self.stride))

    def origins(self, i: int) -> range:
        """Rows of the last known observation of each forecast of a series."""
        first = self.split.test_from[i] - 1
        return range(first, len(self.panel.series[i]) - self.horizon, self.stride)


def m4_hourly(data: Path) -> Protocol:
    """M4-Hourly: 414 series with row numbers and no time stamps, 48 steps ahead from the end of their training part.

    The last 48 steps of the training part serve as validation.
    """
    seen, ahead = (pl.read_parquet(data / f"m4/hourly_{part}.parquet").sort("id", "t") for part in ("train", "test"))
    test = {str(id_): rows["y"].to_numpy() for (id_,), rows in ahead.group_by("id", maintain_order=True)}
    series = []
    for (id_,), rows in seen.group_by("id", maintain_order=True):
        values = np.concatenate([rows["y"].to_numpy(), test[str(id_)]]).astype(np.float32)[:, None]
        series.append(Series(str(id_), 0, values, np.zeros((len(values), 0), np.float32)))
    fences = np.array([len(one) for one in series]) - 48
    split = Split(tuple((fences - 48).tolist()), tuple(fences.tolist()))
    panel = Panel(HOUR, ("y",), (), tuple(series), 0, Kind.NUMBERS)
    return Protocol("m4-hourly", panel, split, 48, 24, stride=48)


def etth1(data: Path) -> Protocol:
    """ETTh1, hourly, 7 channels, 96 ahead: 12, 4 and 4 months of 30 days (Zhou et al. 2021)."""
    return _ett(data, "ETTh1", HOUR)


def ettm1(data: Path) -> Protocol:
    """ETTm1, quarter-hourly, 7 channels, 96 ahead: 12, 4 and 4 months of 30 days (Zhou et al. 2021)."""
    return _ett(data, "ETTm1", HOUR // 4)


def vic_elec(data: Path) -> Protocol:
    """Half-hourly electricity demand of Victoria a day ahead; temperature is known so far, holidays ahead."""
    table = pl.read_parquet(data / "vic_elec/vic_elec.parquet")
    covariates = (Covariate("temperature_c"), Covariate("holiday", known_ahead=True))
    panel = _panel(table, "time_utc", ("demand_mwh",), covariates, HOUR // 2)
    return Protocol("vic-elec", panel, _at(panel, "2014-01-01", "2014-07-01"), 48, 336)


def beijing_air(data: Path) -> Protocol:
    """Fine dust at 12 stations of Beijing a day ahead, with missing values and the weather so far."""
    table = pl.read_parquet(data / "beijing_air/beijing_air.parquet")
    weather = tuple(Covariate(name) for name in ("TEMP", "PRES", "DEWP", "RAIN", "WSPM"))
    panel = _panel(table, "time", ("PM2.5",), weather, HOUR, series="station")
    return Protocol("beijing-air", panel, _at(panel, "2016-01-01", "2016-07-01"), 24, 24)


def nyc_flights(data: Path) -> Protocol:
    """Scheduled departures of New York's three airports a day ahead: counts, zero at night."""
    table = pl.read_parquet(data / "nyc_flights/nyc_flights_hourly.parquet")
    panel = _panel(table, "time_utc", ("scheduled",), (), HOUR, series="origin")
    return Protocol("nyc-flights", panel, _at(panel, "2013-09-01", "2013-11-01"), 24, 168)


def metro(data: Path) -> Protocol:
    """Traffic on I-94 from 2016 on, a day ahead, with gaps, the weather so far and the holidays ahead."""
    table = pl.read_parquet(data / "metro_traffic/metro_traffic_hourly_grid.parquet")
    table = table.filter(pl.col("time") >= datetime(2016, 1, 1)).with_columns(holiday=pl.col("holiday").is_not_null())  # noqa: DTZ001 - the column has no zone
    weather = tuple(Covariate(name) for name in ("temp", "rain_1h", "snow_1h", "clouds_all"))
    panel = _panel(table, "time", ("traffic_volume",), (*weather, Covariate("holiday", known_ahead=True)), HOUR)
    return Protocol("metro", panel, _at(panel, "2018-01-01", "2018-05-01"), 24, 168)


SETS: dict[str, Callable[[Path], Protocol]] = {
    "m4-hourly": m4_hourly,
    "etth1": etth1,
    "ettm1": ettm1,
    "vic-elec": vic_elec,
    "beijing-air": beijing_air,
    "nyc-flights": nyc_flights,
    "metro": metro,
}


def _ett(data: Path, name: str, frequency: int) -> Protocol:
    day = 24 * HOUR // frequency
    validate, test, end = (months * 30 * day for months in (12, 16, 20))
    table = pl.read_parquet(data / f"ett/{name}.parquet")[:end]
    channels = tuple(column for column in table.columns if column != "date")
    panel = _panel(table, "date", channels, (), frequency)
    return Protocol(name.lower(), panel, Split((validate,), (test,)), 96, day)


def _panel(
    table: pl.DataFrame,
    time: str,
    targets: tuple[str, ...],
    covariates: tuple[Covariate, ...],
    frequency: int,
    series: str | None = None,
) -> Panel:
    """A panel from a table whose times have no gaps."""
    parts = table.sort(time).group_by(series, maintain_order=True) if series else [(("all",), table)]
    found = []
    for (id_,), rows in parts:
        columns = [_columns(rows, names) for names in (targets, _names(covariates))]
        seconds = rows[time].dt.epoch("s")
        if (seconds.diff().drop_nulls() != frequency).any():
            raise ValueError(f"series {id_!r} has gaps; this benchmark expects a full grid")
        found.append(Series(str(id_), int(seconds[0]), *columns))
    return Panel(frequency, targets, covariates, tuple(found), 0)


def _columns(rows: pl.DataFrame, names: tuple[str, ...]) -> NDArray[np.float32]:
    if not names:
        return np.zeros((len(rows), 0), np.float32)
    return rows.select(pl.col(names).cast(pl.Float32)).to_numpy(writable=True)


def _names(covariates: tuple[Covariate, ...]) -> tuple[str, ...]:
    return tuple(covariate.name for covariate in covariates)


def _at(panel: Panel, validate_from: str, test_from: str) -> Split:
    """Parts that begin at midnight, UTC."""
    times = [int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) for day in (validate_from, test_from)]
    rows = [tuple(panel.row(series, time) for series in panel.series) for time in times]
    return Split(*rows)
