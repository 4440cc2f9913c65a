"""The engine's answers as replies. REST and WebSocket differ only in how they write a time: `clock` does that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from app.encoding import Numbers, Quantiles
from app.engine.arrays import Floats
from app.engine.coverage import Coverage
from app.engine.forecast import Forecast
from app.engine.operations.gates import Gates, memory_steps, past_share
from app.engine.operations.looking import Description, History, Peeked
from app.engine.operations.opening import Opened
from app.engine.operations.rows import Stepped
from app.engine.operations.series import Forecasts
from app.engine.session import Session
from app.errors import Refusal
from app.replies import (
    BucketCoverage,
    CalibrationReply,
    ForecastReply,
    ForecastsReply,
    GatesReply,
    HistoryReply,
    LayerGates,
    ModelName,
    PeekedReply,
    SeriesReply,
    SessionDescription,
    SessionReply,
    SteppedReply,
)

Clock = Callable[[float], int | str]
Fields = dict[str, Any]
DIGITS = 7  # what a float32 holds
GATE_DIGITS = 4


def forecasts(reply: Forecasts, ids: Sequence[str | None], clock: Clock) -> ForecastsReply:
    bundle = reply.model.bundle
    return ForecastsReply(
        model=ModelName(name=bundle.name, version=bundle.version),
        forecasts=[
            SeriesReply(id=UNSET if name is None else name, **forecast_fields(forecast, clock))
            for name, forecast in zip(ids, reply.forecasts, strict=True)
        ],
    )


def session(name: str, session: Session, clock: Clock) -> SessionReply:
    return SessionReply(id=name, **session_fields(session, clock))


def opened(name: str, opened: Opened, clock: Clock) -> SessionReply:
    return SessionReply(id=name, **opened_fields(opened, clock))


def description(name: str, description: Description, clock: Clock) -> SessionDescription:
    session, coverage = description.session, description.coverage
    return SessionDescription(
        id=name,
        active_at=clock(session.active_at),
        resident=description.is_resident,
        calibration=None if coverage is None else calibration(coverage),
        **session_fields(session, clock),
    )


def calibration(coverage: Coverage) -> CalibrationReply:
    promise, total, firsts = coverage.promise, coverage.total, (1, *(end + 1 for end in coverage.promise.ends))
    return CalibrationReply(
        lower=promise.lower,
        upper=promise.upper,
        target=round(promise.target, DIGITS),
        empirical=total.empirical,
        n=total.n,
        buckets=[
            BucketCoverage(first=first, last=last, empirical=one.empirical, n=one.n)
            for first, last, one in zip(firsts, promise.ends, coverage.buckets, strict=False)
        ],
    )


def stepped(name: str, stepped: Stepped, clock: Clock) -> SteppedReply:
    return SteppedReply(**stepped_fields(name, stepped, clock))


def peeked(name: str, peeked: Peeked, clock: Clock) -> PeekedReply:
    return PeekedReply(session=name, step=peeked.session.step, **forecast_fields(peeked.forecast, clock))


def history(name: str, history: History, clock: Clock) -> HistoryReply:
    session, steps = history.session, range(history.first, history.first + len(history.values))
    values = history.values
    return HistoryReply(
        session=name,
        step=list(steps),
        time=[clock(session.time_of(step)) for step in steps],
        values=Numbers(by_step(values)),
    )


def gates(name: str, gates: Gates, clock: Clock) -> GatesReply:
    session, channels = gates.session, gates.channels
    steps = range(gates.first, gates.first + len(gates.update))
    memory, share = memory_steps(gates.update), past_share(gates.update)
    layers = len(memory) // len(channels)
    return GatesReply(
        session=name,
        replayed_from=gates.began,
        step=list(steps),
        time=[clock(session.time_of(step)) for step in steps],
        layers=[
            LayerGates(
                channel=channels[place // layers],
                layer=place % layers + 1,
                update_gate=_rounded(gates.update[:, place]),
                reset_gate=_rounded(gates.reset[:, place]),
                memory_steps=_rounded(memory[place]),
                past_share=_rounded(share[:, place]),
            )
            for place in range(len(memory))
        ],
    )


def forecast_fields(forecast: Forecast, clock: Clock) -> Fields:
    return {
        "start": clock(forecast.start),
        "frequency": forecast.frequency,
        "horizon": len(forecast.values),
        "quantiles": Quantiles(level_names(forecast.levels), by_level(forecast.values)),
    }


def session_fields(session: Session, clock: Clock) -> Fields:
    return {
        "incarnation": f"{session.incarnation:016x}",
        "model": ModelName(name=session.model, version=session.version),
        "start": clock(session.start),
        "frequency": session.frequency,
        "step": session.step,
        "next_time": clock(session.next_time),
        "on_gap": session.on_gap,
        "created_at": clock(session.created_at),
        "metadata": msgspec.json.decode(session.metadata),
    }


def opened_fields(opened: Opened, clock: Clock) -> Fields:
    return {**session_fields(opened.session, clock), "forecast": _optional(opened.forecast, clock)}


def stepped_fields(name: str, stepped: Stepped, clock: Clock) -> Fields:
    return {
        "session": name,
        "step": stepped.step,
        "time": clock(stepped.time),
        "applied": stepped.applied,
        "filled": stepped.filled,
        "replayed": stepped.replayed,
        "surprise": Numbers(by_step(stepped.surprise)),
        "forecast": _optional(stepped.forecast, clock),
    }


def refusal_fields(refusal: Refusal, clock: Clock) -> Fields:
    return {"code": refusal.code, "detail": refusal.detail, **refusal.members(clock)}


@lru_cache(maxsize=1024)
def level_names(levels: tuple[float, ...]) -> tuple[str, ...]:
    return tuple(map(repr, levels))


def by_step(values: Floats) -> Floats:
    """Values (T, C) as (T,) for one channel."""
    return values[:, 0] if values.shape[1] == 1 else values


def by_level(values: Floats) -> Floats:
    """Quantiles (H, C, levels) as (levels, H) for one channel, else as (levels, H, C)."""
    return values[:, 0].T if values.shape[1] == 1 else np.moveaxis(values, 2, 0)


def _rounded(values: Floats) -> Numbers:
    return Numbers(np.round(values, GATE_DIGITS))


def _optional(forecast: Forecast | None, clock: Clock) -> ForecastReply | UnsetType:
    return UNSET if forecast is None else ForecastReply(**forecast_fields(forecast, clock))
