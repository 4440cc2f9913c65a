"""What clients ask, REST or WebSocket, as operations of the engine. Both surfaces have the same fields, so this is done once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from app.engine.arrays import Floats
from app.engine.forecast import Wish
from app.engine.operations.looking import Peek
from app.engine.operations.opening import NO_HISTORY, Open
from app.engine.operations.series import ForecastSeries, Series
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.session import Key, OnGap
from app.engine.steps import Place
from app.errors import InvalidRequest, pointing_at
from app.times import parse_time
from app.values import columns, observations

MOST_METADATA_BYTES = 16 * 1024

Named = Mapping[str, list[Any]] | None
Time = int | str | None


class Options(Protocol):
    """Which forecast is wanted."""

    @property
    def horizon(self) -> int | None: ...
    @property
    def quantiles(self) -> Sequence[float] | None: ...
    @property
    def future_covariates(self) -> Named: ...


class HistoryLike(Protocol):
    """The first observations of a session."""

    @property
    def values(self) -> list[Any]: ...
    @property
    def covariates(self) -> Named: ...


class Opening(Protocol):
    """A session to begin."""

    @property
    def id(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...
    @property
    def start(self) -> Time: ...
    @property
    def history(self) -> HistoryLike | None: ...
    @property
    def on_gap(self) -> OnGap: ...
    @property
    def if_exists(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any] | None: ...


class Stepping(Protocol):
    """Observations of one session."""

    @property
    def values(self) -> list[Any]: ...
    @property
    def step(self) -> int | None: ...
    @property
    def time(self) -> Time: ...
    @property
    def covariates(self) -> Named: ...
    @property
    def forecast(self) -> bool | Options: ...


class SteppingColumns(Protocol):
    """One observation for each of many sessions."""

    @property
    def sessions(self) -> list[str]: ...
    @property
    def values(self) -> list[Any]: ...
    @property
    def steps(self) -> Sequence[int | None] | None: ...
    @property
    def covariates(self) -> Named: ...
    @property
    def forecast(self) -> bool | Options: ...


class Peeking(Options, Protocol):
    """A forecast wanted, after `values` as if they had been observed."""

    @property
    def values(self) -> list[Any] | None: ...
    @property
    def covariates(self) -> Named: ...


class OneSeries(Protocol):
    """One series to be forecast."""

    @property
    def start(self) -> Time: ...
    @property
    def values(self) -> list[Any]: ...
    @property
    def covariates(self) -> Named: ...
    @property
    def future_covariates(self) -> Named: ...


class Forecasting(Protocol):
    """Many series to be forecast."""

    @property
    def model(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...
    @property
    def series(self) -> Sequence[OneSeries]: ...
    @property
    def horizon(self) -> int | None: ...
    @property
    def quantiles(self) -> Sequence[float] | None: ...


def to_open(tenant: str, asked: Opening) -> Open:
    """A session to begin, under a new id where none was given."""
    history = asked.history
    with pointing_at("/history"):
        values = _values(history.values) if history else NO_HISTORY
        covariates = _named("covariates", history.covariates if history else None)
    return Open(
        key=Key(tenant, asked.id or uuid.uuid4().hex),
        model=asked.model,
        version=asked.version,
        start=_time("start", asked.start),
        history=values,
        covariates=covariates,
        on_gap=asked.on_gap,
        return_existing=asked.if_exists == "return",
        metadata=_metadata(asked.metadata),
    )


def to_steps(key: Key, asked: Stepping) -> TakeSteps:
    """Observations of one session."""
    return TakeSteps(
        key=key,
        values=_values(asked.values),
        place=Place(asked.step, _time("time", asked.time)),
        covariates=_named("covariates", asked.covariates),
        wish=_wish_or_none(asked.forecast),
    )


def to_columns(tenant: str, asked: SteppingColumns) -> TakeColumns:
    """One observation for each of many sessions; raises InvalidRequest when a session is named twice."""
    count = len(asked.sessions)
    steps = asked.steps or [None] * count
    for name, column in (("values", asked.values), ("steps", steps), *(asked.covariates or {}).items()):
        if len(column) != count:
            raise InvalidRequest(f"{name} has {len(column)} entries, but there are {count} sessions")
    if len(set(asked.sessions)) < count:
        raise InvalidRequest("a session is named twice; send its observations in one 'step' or in frames of their own")
    return TakeColumns(
        keys=[Key(tenant, session) for session in asked.sessions],
        values=_values(asked.values),
        places=[Place(step) for step in steps],
        covariates=_named("covariates", asked.covariates),
        wish=_wish_or_none(asked.forecast),
    )


def to_peek(key: Key, asked: Peeking) -> Peek:
    """A forecast wanted."""
    values = NO_HISTORY if asked.values is None else _values(asked.values)
    return Peek(key, to_wish(asked), values, _named("covariates", asked.covariates))


def to_forecast(asked: Forecasting) -> ForecastSeries:
    """Many series to be forecast."""
    levels = None if asked.quantiles is None else tuple(asked.quantiles)
    return ForecastSeries(
        series=[_series(index, one, asked.horizon, levels) for index, one in enumerate(asked.series)],
        model=asked.model,
        version=asked.version,
    )


def to_wish(asked: Options) -> Wish:
    """Which forecast is wanted."""
    levels = None if asked.quantiles is None else tuple(asked.quantiles)
    return Wish(asked.horizon, levels, _named("future_covariates", asked.future_covariates))


def _series(index: int, one: OneSeries, horizon: int | None, levels: tuple[float, ...] | None) -> Series:
    with pointing_at(f"/series/{index}"):
        future = _named("future_covariates", one.future_covariates)
        return Series(
            values=_values(one.values),
            covariates=_named("covariates", one.covariates),
            start=_time("start", one.start),
            wish=Wish(horizon, levels, future),
        )


def _wish_or_none(asked: bool | Options) -> Wish | None:  # noqa: FBT001 - the wire has true and false here
    if isinstance(asked, bool):
        return Wish() if asked else None
    with pointing_at("/forecast"):
        return to_wish(asked)


def _values(values: list[Any]) -> Floats:
    with pointing_at("/values"):
        return observations(values)


def _named(field: str, given: Named) -> dict[str, Floats]:
    with pointing_at(f"/{field}"):
        return columns(given)


def _time(field: str, value: Time) -> int | None:
    with pointing_at(f"/{field}"):
        return None if value is None else parse_time(value)


def _metadata(given: Mapping[str, Any] | None) -> bytes:
    try:
        packed = msgspec.json.encode(given or {})
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("metadata is nested too deeply or holds what JSON cannot say") from error
    if len(packed) > MOST_METADATA_BYTES:
        raise InvalidRequest(f"metadata has {len(packed)} bytes, at most {MOST_METADATA_BYTES} are kept")
    return packed
