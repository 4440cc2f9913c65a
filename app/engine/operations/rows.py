"""Observations of sessions on their way in: judged one by one, then moved together where they are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.engine.arrays import Floats
from app.engine.forecast import Forecast, Selection
from app.engine.group import Group
from app.engine.inputs import Named, fit_covariates, fit_values
from app.engine.operations.base import Context
from app.engine.runtime import Model
from app.engine.session import Key, Session
from app.engine.sessions import Moved
from app.engine.steps import Place, Verdict, judge
from app.errors import InvalidRequest, Refusal


@dataclass(frozen=True, slots=True)
class Stepped:
    """What became of one session's observations: `step` is the number of the last one sent.

    `applied` of them moved the session, after `filled` missing ones were put before them. There is no forecast where none was
    asked for or a newer step is known.
    """

    session: Session
    step: int
    applied: int
    filled: int
    replayed: bool
    forecast: Forecast | None

    @property
    def time(self) -> int:
        return self.session.time_of(self.step)


@dataclass(frozen=True, slots=True)
class Row:
    """One session, its state (S,) and what is still to be applied: `values` (T, C), `covariates` (T, K), T ≥ 0."""

    key: Key
    session: Session
    model: Model
    state: Floats
    values: Floats
    covariates: Floats
    verdict: Verdict

    def advanced(self, now: float) -> Session:
        return self.session.advanced(len(self.values), now) if len(self.values) else self.session

    def stepped(self, now: float, forecast: Forecast | None) -> Stepped:
        verdict, applied = self.verdict, len(self.values) - self.verdict.missing
        return Stepped(self.advanced(now), verdict.last, applied, verdict.missing, verdict.replayed, forecast)


def judge_row(context: Context, key: Key, values: Floats, place: Place, covariates: Named) -> Row:
    """Observations (T, any) of one session, without those it knows and with those it lacks; raises a Refusal."""
    session, model, state = context.sessions.gather(key)
    fitted = fit_values(model.bundle, values)
    known = fit_covariates(model.bundle, covariates, len(values))
    verdict = judge(session, model.recent(state), place, fitted, context.gap_limit)
    fitted, known = (_with_gap(table[verdict.known :], verdict.missing) for table in (fitted, known))
    return Row(key, session, model, state, fitted, known, verdict)


def _with_gap(table: Floats, missing: int) -> Floats:
    return np.pad(table, ((missing, 0), (0, 0)), constant_values=np.nan) if missing else table


class Batch:
    """Rows of one model with the same number of steps, and what is wanted to know after them."""

    def __init__(self, rows: Sequence[Row], selection: Selection | None) -> None:
        self._rows = rows
        self._selection = selection
        model, steps = rows[0].model, len(rows[0].values)
        frequency = model.bundle.frequency
        origin = np.array([row.session.time + steps * frequency for row in rows], np.int64)
        self.group = Group(
            model=model,
            values=np.stack([row.values for row in rows]),
            time=origin[:, None] + np.arange(1 - steps, 1) * frequency,
            covariates=np.stack([row.covariates for row in rows]),
            state=np.stack([row.state for row in rows]),
            origin=origin,
            future=None if selection is None else np.repeat(selection.future[None], len(rows), axis=0),
        )

    def finish(self, now: float) -> tuple[list[Stepped | Refusal], list[Moved]]:
        """The answer to every row, and the sessions that moved. A row without a finite forecast is refused and stays."""
        answers = [self._answer(index, now) for index in range(len(self._rows))]
        moving = [index for index, answer in enumerate(answers) if not isinstance(answer, Refusal)]
        if self.group.steps == 0 or not moving:
            return answers, []
        rows = [self._rows[index] for index in moving]
        keys, sessions = [row.key for row in rows], [row.advanced(now) for row in rows]
        return answers, [Moved(keys, sessions, self.group.state[moving])]

    def _answer(self, index: int, now: float) -> Stepped | Refusal:
        row, quantiles = self._rows[index], self.group.quantiles
        if self._selection is None or quantiles is None:
            return row.stepped(now, None)
        try:
            return row.stepped(now, self._selection.forecast(quantiles[index], int(self.group.origin[index])))
        except InvalidRequest as refusal:
            return refusal
