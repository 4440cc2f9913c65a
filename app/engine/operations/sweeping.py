"""Sessions that nobody uses end, and ended ones are forgotten: a little at a time, so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.operations.base import Context, Outcome, Work, done
from app.engine.records import Ended
from app.engine.session import Ending, Key


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and after which key to look next; b"" when everything was looked at."""

    keys: Sequence[Key]
    after: bytes


@dataclass(frozen=True, slots=True)
class FindIdle:
    """Those of the next `limit` sessions that have been idle for too long."""

    after: bytes
    limit: int

    @property
    def keys(self) -> Sequence[Key]:
        return ()

    def begin(self, context: Context) -> Work[Found]:
        return done(Found(*context.sessions.idle(self.after, self.limit)))


@dataclass(frozen=True, slots=True)
class FindForgettable:
    """Those of the next `limit` ended sessions whose end need not be remembered any longer."""

    after: bytes
    limit: int

    @property
    def keys(self) -> Sequence[Key]:
        return ()

    def begin(self, context: Context) -> Work[Found]:
        return done(Found(*context.sessions.forgettable(self.after, self.limit)))


@dataclass(frozen=True, slots=True)
class Expire:
    """End a session, unless somebody has used it since."""

    key: Key

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[bool]:
        occupant = context.sessions.occupant(self.key)
        ended = [Ended(self.key, occupant)] if isinstance(occupant, Ending) and occupant.reason == "expired" else []
        return Work((), lambda: Outcome(bool(ended), ended=ended))


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove what is left of an ended session, unless there is something newer."""

    key: Key

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[bool]:
        is_forgettable = context.sessions.is_forgettable(self.key)
        return Work((), lambda: Outcome(is_forgettable, forgotten=[self.key] if is_forgettable else []))
