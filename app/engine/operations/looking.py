"""Looking at sessions: what comes next, what was, what is known of them. None of them moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.engine.arrays import Floats
from app.engine.coverage import Coverage, coverage
from app.engine.forecast import Forecast, Wish
from app.engine.group import Group
from app.engine.inputs import Named, fit_covariates, fit_values
from app.engine.operations.base import Context, Outcome, Work, done
from app.engine.operations.opening import NO_HISTORY
from app.engine.session import Key, Session


@dataclass(frozen=True, slots=True)
class Peeked:
    """A forecast from where a session is."""

    session: Session
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Peek:
    """The forecast after a session's last step, or after T more observations (T, C) as if they had come."""

    key: Key
    wish: Wish
    values: Floats = field(default_factory=NO_HISTORY.copy)
    covariates: Named = field(default_factory=dict)

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[Peeked]:
        session, model, state = context.sessions.gather(self.key)
        selection = self.wish.under(model.bundle)
        steps = len(self.values)
        origin = session.time_of(session.step + steps)
        group = Group(
            model=model,
            values=fit_values(model.bundle, self.values)[None],
            time=session.next_time + np.arange(steps, dtype=np.int64)[None] * session.frequency,
            covariates=fit_covariates(model.bundle, self.covariates, steps)[None],
            state=state[None],
            origin=np.array([origin], np.int64),
            future=selection.future[None],
        )

        def finish() -> Outcome[Peeked]:
            assert group.quantiles is not None  # noqa: S101 - the engine decodes every group that has a future
            return Outcome(Peeked(session, selection.forecast(group.quantiles[0], origin)))

        return Work([group], finish)


@dataclass(frozen=True, slots=True)
class History:
    """The last observations (n, C) that a session remembers, newest last; the first of them is step `first`."""

    session: Session
    first: int
    values: Floats


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """At most `limit` recent observations."""

    key: Key
    limit: int

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[History]:
        session, model, state = context.sessions.gather(self.key)
        recent = model.recent(state)
        count = min(session.step, len(recent), self.limit)
        return done(History(session, session.step - count + 1, recent[len(recent) - count :]))


@dataclass(frozen=True, slots=True)
class Description:
    """A session, whether it was in the arena when it was looked at, and how its bands did, if they count that."""

    session: Session
    is_resident: bool
    coverage: Coverage | None


@dataclass(frozen=True, slots=True)
class Describe:
    """What is known of a session."""

    key: Key

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[Description]:
        session, is_resident = context.sessions.find(self.key), self.key in context.sessions.residency
        seen = context.sessions.look(self.key, session)
        return done(Description(session, is_resident, seen and coverage(seen[0], seen[1][None])))


@dataclass(frozen=True, slots=True)
class Follow(Describe):
    """What is known of a session, for somebody who wants to hear of every step that comes after this."""


@dataclass(frozen=True, slots=True)
class Page:
    """Sessions in the order of their ids, and whether more follow."""

    sessions: Sequence[tuple[str, Session]]
    has_more: bool


@dataclass(frozen=True, slots=True)
class ListSessions:
    """At most `limit` sessions of a tenant whose ids start with `prefix` and follow `after`."""

    tenant: str
    prefix: str
    after: str
    limit: int

    @property
    def keys(self) -> Sequence[Key]:
        return ()

    def begin(self, context: Context) -> Work[Page]:
        found = context.sessions.page(self.tenant, self.prefix, self.after, self.limit + 1)
        return done(Page(found[: self.limit], has_more=len(found) > self.limit))
