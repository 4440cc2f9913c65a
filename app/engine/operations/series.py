"""Forecasts of series of which nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.engine.arrays import Floats
from app.engine.forecast import Forecast, Selection, Wish
from app.engine.group import Group
from app.engine.inputs import Named, fit_covariates, fit_values
from app.engine.operations.base import Context, Outcome, Work
from app.engine.operations.opening import present_start
from app.engine.runtime import Model
from app.engine.session import Key
from app.errors import pointing_at
from model.contract import Bundle


@dataclass(frozen=True, slots=True)
class Series:
    """T ≥ 1 observations (T, C) with covariates (T,) by name, from time `start` or up to now, and what is wanted after it."""

    values: Floats
    covariates: Named
    start: int | None
    wish: Wish


@dataclass(frozen=True, slots=True)
class Forecasts:
    """One forecast for each series, in their order, and the model that made them."""

    model: Model
    forecasts: Sequence[Forecast]


@dataclass(frozen=True, slots=True)
class ForecastSeries:
    """Forecasts of many series of any lengths under one model. Equal lengths are computed together."""

    series: Sequence[Series]
    model: str | None = None
    version: str | None = None

    @property
    def keys(self) -> Sequence[Key]:
        return ()

    def begin(self, context: Context) -> Work[Forecasts]:
        model, now = context.models.find(self.model, self.version), context.now()
        rows = [_fit(model.bundle, one, f"/series/{index}") for index, one in enumerate(self.series)]
        lengths: dict[int, list[int]] = {}
        for index, one in enumerate(self.series):
            lengths.setdefault(len(one.values), []).append(index)
        groups = [_group(model, [rows[index] for index in indices], now) for indices in lengths.values()]

        def finish() -> Outcome[Forecasts]:
            forecasts: dict[int, Forecast] = {}
            for indices, group in zip(lengths.values(), groups, strict=True):
                assert group.quantiles is not None  # noqa: S101 - the engine decodes every group that has a future
                for index, quantiles, origin in zip(indices, group.quantiles, group.origin, strict=True):
                    with pointing_at(f"/series/{index}"):
                        forecasts[index] = rows[index].selection.forecast(quantiles, int(origin))
            return Outcome(Forecasts(model, [forecasts[index] for index in range(len(rows))]))

        return Work(groups, finish)


@dataclass(frozen=True, slots=True)
class _Row:
    """One series as the model takes it: `values` (T, C), `covariates` (T, K)."""

    values: Floats
    covariates: Floats
    start: int | None
    selection: Selection


def _fit(bundle: Bundle, one: Series, pointer: str) -> _Row:
    with pointing_at(pointer):
        covariates = fit_covariates(bundle, one.covariates, len(one.values))
        return _Row(fit_values(bundle, one.values), covariates, one.start, one.wish.under(bundle))


def _group(model: Model, rows: Sequence[_Row], now: float) -> Group:
    steps, frequency = len(rows[0].values), model.bundle.frequency
    starts = [present_start(now, frequency, steps) if row.start is None else row.start for row in rows]
    time = np.array(starts, np.int64)[:, None] + np.arange(steps) * frequency
    return Group(
        model=model,
        values=np.stack([row.values for row in rows]),
        time=time,
        covariates=np.stack([row.covariates for row in rows]),
        state=model.fresh(len(rows)),
        origin=time[:, -1],
        future=np.stack([row.selection.future for row in rows]),
    )
