"""The engine's replies as documents. REST and WebSocket differ only in how they write a time: `clock` does that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.engine.arrays import Floats
from app.engine.forecast import Forecast
from app.engine.operations.looking import Description, History
from app.engine.operations.opening import Opened
from app.engine.operations.rows import Stepped
from app.engine.operations.series import Forecasts
from app.engine.session import Session
from app.errors import Refusal

Document = dict[str, Any]
Clock = Callable[[float], int | str]
DIGITS = 7  # what a float32 holds


def forecast_document(forecast: Forecast, clock: Clock) -> Document:
    """Quantiles by level: H numbers each, or H lists of C numbers."""
    return {
        "start": clock(forecast.start),
        "frequency": forecast.frequency,
        "horizon": len(forecast.values),
        "quantiles": {
            repr(level): _by_step(forecast.values[..., place]) for place, level in enumerate(forecast.levels)
        },
    }


def forecasts_document(reply: Forecasts, ids: Sequence[str | None], clock: Clock) -> Document:
    """Forecasts in the order of the series, with the ids that these had."""
    bundle = reply.model.bundle
    return {
        "model": {"name": bundle.name, "version": bundle.version},
        "forecasts": [
            ({} if name is None else {"id": name}) | forecast_document(forecast, clock)
            for name, forecast in zip(ids, reply.forecasts, strict=True)
        ],
    }


def session_document(name: str, session: Session, clock: Clock) -> Document:
    """What is known of a session."""
    return {
        "id": name,
        "incarnation": f"{session.incarnation:016x}",
        "model": {"name": session.model, "version": session.version},
        "start": clock(session.start),
        "frequency": session.frequency,
        "step": session.step,
        "next_time": clock(session.next_time),
        "on_gap": session.on_gap,
        "created_at": clock(session.created_at),
        "metadata": msgspec.json.decode(session.metadata),
    }


def description_document(name: str, description: Description, clock: Clock) -> Document:
    """A session with its last activity and whether it is in memory."""
    session = description.session
    return session_document(name, session, clock) | {
        "active_at": clock(session.active_at),
        "resident": description.is_resident,
    }


def opened_document(name: str, opened: Opened, clock: Clock) -> Document:
    """A session that was opened, with its forecast where it has a history."""
    return session_document(name, opened.session, clock) | _optional(opened.forecast, clock)


def stepped_document(name: str, stepped: Stepped, clock: Clock) -> Document:
    """What became of one session's observations."""
    return {
        "session": name,
        "step": stepped.step,
        "time": clock(stepped.time),
        "applied": stepped.applied,
        "filled": stepped.filled,
        "replayed": stepped.replayed,
    } | _optional(stepped.forecast, clock)


def columns_document(answers: Sequence[Stepped | Refusal], clock: Clock, *, with_forecast: bool) -> Document:
    """What became of many sessions' observations, a list for each fact; null where a session was refused."""
    stepped = [None if isinstance(answer, Refusal) else answer for answer in answers]
    document: Document = {
        "step": [one and one.step for one in stepped],
        "time": [None if one is None else clock(one.time) for one in stepped],
        "replayed": [one and one.replayed for one in stepped],
    }
    forecasts = [None if one is None else one.forecast for one in stepped]
    if with_forecast:
        document["levels"] = next((forecast.levels for forecast in forecasts if forecast), ())
        document["quantiles"] = [None if one is None else _by_level(one.values) for one in forecasts]
    errors = [
        {"index": index} | refusal_document(answer)
        for index, answer in enumerate(answers)
        if isinstance(answer, Refusal)
    ]
    return document | ({"errors": errors} if errors else {})


def history_document(name: str, history: History, clock: Clock) -> Document:
    """Recent observations with their steps and times, newest last."""
    session, steps = history.session, range(history.first, history.first + len(history.values))
    return {
        "session": name,
        "step": list(steps),
        "time": [clock(session.time_of(step)) for step in steps],
        "values": _by_step(history.values),
    }


def refusal_document(refusal: Refusal) -> Document:
    """A refusal as WebSocket frames carry it."""
    return {"code": refusal.code, "detail": refusal.detail, **refusal.extra}


def _optional(forecast: Forecast | None, clock: Clock) -> Document:
    return {} if forecast is None else {"forecast": forecast_document(forecast, clock)}


def _by_step(table: Floats) -> list[Any]:
    """(n, C) as n numbers for one channel, else as n lists of C."""
    return _tidy(table[:, 0] if table.shape[1] == 1 else table)


def _by_level(table: Floats) -> list[Any]:
    """(H, C, levels) as a list for each level."""
    return [_by_step(table[..., place]) for place in range(table.shape[2])]


def _tidy(values: Floats) -> list[Any]:
    """Numbers with as many digits as they have, so that 0.1 is not written as 0.10000000149011612; NaN as null."""
    exact: NDArray[np.float64] = values.astype(np.float64)
    size = np.abs(np.where(np.isfinite(exact) & (exact != 0), exact, 1.0))
    unit = 10.0 ** (np.floor(np.log10(size)) + 1 - DIGITS)
    rounded: list[Any] = (np.round(exact / unit) * unit).tolist()
    return rounded
