"""One session's observations on their way in: judged, and moved if they are new."""

from __future__ import annotations

import msgspec
import numpy as np

from app.engine.arrays import Floats
from app.engine.forecast import Forecast, Selection
from app.engine.group import Group
from app.engine.inputs import fit_covariates, fit_values
from app.engine.operations.base import Context
from app.engine.operations.observed import Observation
from app.engine.records import Moved
from app.engine.runtime import Model
from app.engine.session import Key, Session, pack_tail
from app.engine.steps import judge
from app.errors import SessionGone


class Stepped(msgspec.Struct, frozen=True):
    """What became of one session's observations: `step` and `time` are those of the last one sent.

    `applied` of them moved the session, after `filled` missing ones were put before them. Each has its `surprise` (T, C), NaN
    where it is missing or not known any more: of those that were applied before, the state keeps only the newest one's. There
    is no forecast where none was asked for or a newer step is known.
    """

    step: int
    time: int
    applied: int
    filled: int
    replayed: bool
    surprise: Floats
    forecast: Forecast | None


class Row:
    """T ≥ 1 observations (T, any) of one session, without those it knows and with those it lacks; raises a Refusal."""

    def __init__(self, context: Context, asked: Observation) -> None:
        key, values = asked.key, asked.values
        session, model, state = context.sessions.gather(key)
        check_incarnation(session, key, asked.incarnation)
        fitted = fit_values(model.bundle, values)
        known = fit_covariates(model.bundle, asked.covariates, len(values))
        verdict = judge(session, model.recent(state), asked.place, fitted, context.gap_limit)
        selection = asked.wish.under(model.bundle) if asked.wish else None
        self.key, self._session, self._verdict = key, session, verdict
        self._known = np.full((verdict.known, len(model.bundle.channels)), np.nan, np.float32)
        if verdict.known and (verdict.is_newest or verdict.known < len(values)):  # then the last of them is the newest
            self._known[-1] = model.surprise(state)
        self._selection = selection if verdict.is_newest else None
        new, beside = (_with_gap(table[verdict.known :], verdict.missing) for table in (fitted, known))
        self.group = _group(model, session, new, beside, state, self._selection)

    def finish(self, now: float) -> tuple[Stepped, list[Moved]]:
        """The answer, and the session where it moved; raises InvalidRequest, and it stays, where the forecast is not finite."""
        verdict, group, session = self._verdict, self.group, self._session
        forecast = None
        if self._selection is not None and group.quantiles is not None:
            forecast = self._selection.forecast(group.quantiles[0], int(group.origin[0]))
        applied = group.steps - verdict.missing
        surprise = np.concatenate([self._known, group.surprise[0, verdict.missing :]])
        stepped = Stepped(
            verdict.last, session.time_of(verdict.last), applied, verdict.missing, verdict.replayed, surprise, forecast
        )
        return stepped, [
            moved(self.key, group.model, session.advanced(group.steps, now), group.state)
        ] if group.steps else []


def moved(key: Key, model: Model, session: Session, state: Floats, *, created: bool = False) -> Moved:
    """One session with its new state (1, S)."""
    return Moved([key], model, session.facts, state, [pack_tail(session.build, session.metadata)], created)


def check_incarnation(session: Session, key: Key, meant: int | None) -> None:
    """Raise SessionGone where a session is meant that had this one's id before."""
    if meant is not None and meant != session.incarnation:
        raise SessionGone(
            f"session {key.id!r} with incarnation {meant:016x} has ended; its id belongs to incarnation "
            f"{session.incarnation:016x} now, whose steps are its own",
            reason="replaced",
            incarnation=f"{session.incarnation:016x}",
        )


def _group(
    model: Model, session: Session, values: Floats, covariates: Floats, state: Floats, selection: Selection | None
) -> Group:
    steps = len(values)
    origin = session.time_of(session.step + steps)
    return Group(
        model=model,
        values=values[None],
        time=(origin + np.arange(1 - steps, 1, dtype=np.int64) * session.frequency)[None],
        covariates=covariates[None],
        state=state[None],
        origin=np.array([origin], np.int64),
        future=None if selection is None else selection.future[None],
    )


def _with_gap(table: Floats, missing: int) -> Floats:
    return np.pad(table, ((missing, 0), (0, 0)), constant_values=np.nan) if missing else table
