"""A session begins, from nothing or from a history, and ends."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.engine.arrays import Floats
from app.engine.forecast import Forecast, Selection, Wish
from app.engine.group import Group
from app.engine.inputs import Named, fit_covariates, fit_values
from app.engine.operations.base import Context, Outcome, Work, done
from app.engine.operations.rows import check_incarnation, moved
from app.engine.records import Ended
from app.engine.runtime import Model
from app.engine.session import NO_METADATA, Ending, Key, OnGap, Session
from app.errors import ModelMismatch, Overloaded, SessionExists

NO_HISTORY = np.empty((0, 1), np.float32)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that is open now, `created` or met; with a forecast where a history was given."""

    session: Session
    created: bool
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a session whose step 1 is at time `start`, with history (T, C), T ≥ 0, and its covariates (T,) by name.

    Without a start the history ends, or step 1 is, at the present grid time. With `return_existing` a session that exists is
    the answer.
    """

    key: Key
    model: str | None = None
    version: str | None = None
    start: int | None = None
    history: Floats = field(default_factory=NO_HISTORY.copy)
    covariates: Named = field(default_factory=dict)
    on_gap: OnGap = "reject"
    return_existing: bool = False
    metadata: bytes = NO_METADATA

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[Opened]:
        occupant = context.sessions.occupant(self.key)
        if isinstance(occupant, Session):
            return done(self._met(occupant))
        check_room(context)
        model = context.models.find(self.model, self.version)
        session = self._session(model, context.now())
        selection = Wish().under(model.bundle)
        group = self._group(model, session, selection)

        def finish() -> Outcome[Opened]:
            opened = session.advanced(group.steps, context.now())
            forecast = None
            if group.quantiles is not None:
                forecast = selection.forecast(group.quantiles[0], opened.time)
            change = moved(self.key, model, opened, group.state, created=True)
            left = [Ended(self.key, occupant)] if occupant else []
            return Outcome(Opened(opened, created=True, forecast=forecast), [change], left)

        return Work([group], finish)

    def _met(self, session: Session) -> Opened:
        if not self.return_existing:
            raise SessionExists(f"session {self.key.id!r} exists; use another id, or if_exists: return")
        wanted = (self.model or session.model, self.version or session.version)
        if wanted != (session.model, session.version):
            raise ModelMismatch(
                f"session {self.key.id!r} lives under model {session.model} {session.version}, not {' '.join(wanted)}; "
                f"leave the model out, or use another id"
            )
        return Opened(session, created=False)

    def _session(self, model: Model, now: float) -> Session:
        bundle = model.bundle
        start = present_start(now, bundle.frequency, len(self.history)) if self.start is None else self.start
        return Session(
            build=model.build,
            incarnation=new_incarnation(),
            start=start,
            frequency=bundle.frequency,
            step=0,
            on_gap=self.on_gap,
            created_at=now,
            active_at=now,
            metadata=self.metadata,
        )

    def _group(self, model: Model, session: Session, selection: Selection) -> Group:
        bundle, steps = model.bundle, len(self.history)
        return Group(
            model=model,
            values=fit_values(bundle, self.history)[None],
            time=session.start + np.arange(steps, dtype=np.int64)[None] * bundle.frequency,
            covariates=fit_covariates(bundle, self.covariates, steps)[None],
            state=model.fresh(1),
            origin=np.array([session.time_of(steps)], np.int64),
            future=selection.future[None] if steps else None,
        )


@dataclass(frozen=True, slots=True)
class Close:
    """End a session; what is left is when and why."""

    key: Key
    incarnation: int | None = None

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[None]:
        check_incarnation(context.sessions.find(self.key), self.key, self.incarnation)
        ended = Ended(self.key, Ending("closed", context.now()))
        return Work((), lambda: Outcome(None, ended=[ended]))


def check_room(context: Context) -> None:
    """Raise Overloaded where there are as many sessions as there may be."""
    sessions = context.sessions
    if sessions.total >= sessions.limits.sessions:
        raise Overloaded(f"there are {sessions.total} sessions, which is the limit; close some first")


def new_incarnation() -> int:
    return secrets.randbits(64)


def present_start(now: float, frequency: int, steps: int) -> int:
    """The start of a series of so many steps that ends at the present grid time; the present grid time for no steps."""
    return int(now // frequency) * frequency - max(steps - 1, 0) * frequency
