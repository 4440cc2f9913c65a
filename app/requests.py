"""What clients ask, REST or WebSocket, as operations of the engine. Both surfaces have the same fields, so this is done once."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from app.engine.arrays import Floats, Kinds
from app.engine.forecast import Wish
from app.engine.inputs import NOTHING
from app.engine.operations.copying import Fork, Import, parse_export
from app.engine.operations.looking import Peek
from app.engine.operations.opening import NO_HISTORY, Open
from app.engine.operations.series import ForecastSeries, Series
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.roster import Roster
from app.engine.session import Key
from app.engine.steps import Place
from app.errors import InvalidRequest, SessionNotFound, pointing_at
from app.schemas import (
    ID_PATTERN,
    ColumnsRequest,
    ForecastOptions,
    ForecastRequest,
    ForkRequest,
    ImportQuery,
    OpenRequest,
    PeekQuery,
    PeekRequest,
    SeriesRequest,
    StepsRequest,
)
from app.times import parse_time
from app.values import SHOWN, columns, observations, show

MOST_METADATA_BYTES = 16 * 1024
NO_INCARNATIONS: Mapping[Key, int] = {}

Named = Mapping[str, list[Any]] | None
Time = int | str | None


def to_open(tenant: str, asked: OpenRequest) -> Open:
    """A session to begin, under a new id where none was given."""
    history = asked.history
    with pointing_at("/history"):
        values = _values(history.values) if history else NO_HISTORY
        covariates = _named("covariates", history.covariates if history else None)
    return Open(
        key=Key(tenant, asked.id or new_id()),
        model=asked.model,
        version=asked.version,
        start=_time("start", asked.start),
        history=values,
        covariates=covariates,
        on_gap=asked.on_gap,
        return_existing=asked.if_exists == "return",
        metadata=_metadata(asked.metadata),
    )


def to_steps(key: Key, asked: StepsRequest, incarnation: int | None = None) -> TakeSteps:
    """Observations of one session, of the given incarnation where the request names none."""
    return TakeSteps(
        key=key,
        values=_values(asked.values),
        place=Place(asked.step, _time("time", asked.time)),
        covariates=_named("covariates", asked.covariates),
        wish=_wish_or_none(asked.forecast),
        incarnation=incarnation if asked.incarnation is None else to_incarnation(asked.incarnation),
    )


def to_columns(
    asked: ColumnsRequest, sessions: Roster, incarnations: Mapping[Key, int] = NO_INCARNATIONS
) -> TakeColumns:
    """One observation for each of many sessions, of these incarnations where they are known."""
    count = len(sessions)
    for name, column in (("values", asked.values), ("steps", asked.steps), *(asked.covariates or {}).items()):
        if column is not None and len(column) != count:
            raise InvalidRequest(
                f"{name[:SHOWN]} has {len(column)} entries, but there are {count} sessions; give one for each"
            )
    return TakeColumns(
        keys=sessions,
        table=_values(asked.values),
        steps=asked.steps,
        covariates=_named("covariates", asked.covariates),
        wish=_wish_or_none(asked.forecast),
        incarnations=list(map(incarnations.get, sessions)) if incarnations else None,
    )


def to_fork(key: Key, asked: ForkRequest) -> Fork:
    """A second session, under a new id where none was given."""
    return Fork(key, Key(key.tenant, asked.id or new_id()))


def to_import(tenant: str, blob: bytes, asked: ImportQuery) -> Import:
    """An exported session; raises InvalidRequest for bytes that are none, or hold what no session has: anybody can write a checksum."""
    exported = parse_export(blob)
    name = asked.id or exported.id
    if not re.match(ID_PATTERN, name):
        raise InvalidRequest(f"the export is of a session {show(name)}, which can be no id; give another one as ?id=")
    try:
        metadata = msgspec.json.decode(exported.session.metadata, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidRequest(
            f"the export's metadata are no JSON object: {str(error)[:SHOWN]}; export it again"
        ) from error
    _metadata(metadata)
    return Import(Key(tenant, name), exported)


def to_incarnation(text: str | None) -> int | None:
    """An incarnation as the engine has it."""
    return None if text is None else int(text, 16)


def new_id() -> str:
    return uuid.uuid4().hex


def to_peek(key: Key, asked: PeekRequest) -> Peek:
    """A forecast wanted."""
    values = NO_HISTORY if asked.values is None else _values(asked.values)
    return Peek(key, to_wish(asked), values, _named("covariates", asked.covariates))


def to_forecast(asked: ForecastRequest) -> ForecastSeries:
    """Many series to be forecast."""
    levels = None if asked.quantiles is None else tuple(asked.quantiles)
    return ForecastSeries(
        series=[_series(index, one, asked.horizon, levels) for index, one in enumerate(asked.series)],
        model=asked.model,
        version=asked.version,
    )


def to_peek_of_query(key: Key, asked: PeekQuery) -> Peek:
    """A forecast wanted, asked for behind a question mark."""
    return Peek(key, Wish(asked.horizon, None if asked.quantiles is None else _levels(asked.quantiles)))


def to_key(tenant: str, name: str) -> Key:
    """The session of an address; raises SessionNotFound for what can be no id."""
    if not re.match(ID_PATTERN, name):
        raise SessionNotFound(f"there is no session {name[:40]!r}; ids have letters, digits and _.:~@=+-, at most 128")
    return Key(tenant, name)


def to_wish(asked: ForecastOptions) -> Wish:
    """Which forecast is wanted."""
    levels = None if asked.quantiles is None else tuple(asked.quantiles)
    return Wish(asked.horizon, levels, _named("future_covariates", asked.future_covariates))


def _series(index: int, one: SeriesRequest, horizon: int | None, levels: tuple[float, ...] | None) -> Series:
    with pointing_at(f"/series/{index}"):
        future = _named("future_covariates", one.future_covariates)
        return Series(
            values=_values(one.values),
            covariates=_named("covariates", one.covariates),
            start=_time("start", one.start),
            wish=Wish(horizon, levels, future),
        )


def _wish_or_none(asked: bool | ForecastOptions) -> Wish | None:  # noqa: FBT001 - the wire has true and false here
    if isinstance(asked, bool):
        return Wish() if asked else None
    with pointing_at("/forecast"):
        return to_wish(asked)


def _levels(text: str) -> tuple[float, ...]:
    try:
        levels = tuple(map(float, text.split(",")))
    except ValueError:
        levels = ()
    if not levels or not all(0 < level < 1 for level in levels):
        raise InvalidRequest(f"quantiles is {text[:40]!r}; give levels between 0 and 1 with commas between")
    return levels


def _values(values: list[Any]) -> Floats:
    with pointing_at("/values"):
        return observations(values)


def _named(field: str, given: Named) -> Mapping[str, Floats | Kinds]:
    if not given:
        return NOTHING
    with pointing_at(f"/{field}"):
        return columns(given)


def _time(field: str, value: Time) -> int | None:
    if value is None:
        return None
    with pointing_at(f"/{field}"):
        return parse_time(value)


def _metadata(given: Mapping[str, Any] | None) -> bytes:
    try:
        packed = msgspec.json.encode(given or {})
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("metadata is nested too deeply or holds what JSON cannot say") from error
    if len(packed) > MOST_METADATA_BYTES:
        raise InvalidRequest(f"metadata has {len(packed)} bytes, at most {MOST_METADATA_BYTES} are kept")
    return packed
