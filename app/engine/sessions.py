"""The sessions this process serves: the recently used in memory, all of them in the store. Nothing else may keep one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from app.engine.arena import Arena
from app.engine.arrays import Flags, Floats
from app.engine.places import key_of, stored, stored_key
from app.engine.records import Ended, Moved, session_in, transaction
from app.engine.registry import Models
from app.engine.residency import Located, Residency, Residents
from app.engine.runtime import Model
from app.engine.session import Build, Ending, Facts, Key, Session, unpack
from app.errors import ModelMismatch, Moment, Refusal, SessionGone, SessionNotFound, StoreUnavailable
from app.stores.base import CorruptRecord, Record, Store, StoreError, Table
from app.times import format_time
from model.contract import Bundle


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions may exist, how many of them in memory, and after how long they expire and are forgotten."""

    sessions: int = 1_000_000
    resident: int = 100_000
    idle_seconds: float = 30 * 86400
    tombstone_seconds: float = 7 * 86400


class Sessions:
    """At most `limits.resident` sessions in memory, at most `limits.sessions` in the store. One thread uses it."""

    def __init__(self, store: Store, models: Models, limits: SessionLimits, now: Callable[[], float]) -> None:
        self._store = store
        self._models = models
        self.limits = limits
        self._now = now
        self.residency = Residency(models, limits.resident)
        self.total = store.count(Table.LIVE)

    def occupant(self, key: Key) -> Session | Ending | None:
        """Who has this id: a session, what is left of one that has expired or is damaged, or nobody."""
        located = self.residency.find(key)
        try:
            session = located.arena.session(located.slot) if located else self._read_session(key)
        except CorruptRecord:
            return Ending("damaged", self._now())
        if session is None or self._now() - session.active_at <= self.limits.idle_seconds:
            return session
        return Ending("expired", session.active_at + self.limits.idle_seconds)

    def find(self, key: Key) -> Session:
        """The session; raises SessionNotFound or SessionGone."""
        with _reading():
            found = self.occupant(key)
            if isinstance(found, Session):
                return found
            raise self._absence(key) if found is None else gone(key, found)

    def gather(self, key: Key) -> tuple[Session, Model, Floats]:
        """A session, its model and its state (S,). Raises ModelNotFound and ModelMismatch beside what `find` raises."""
        session = self.find(key)
        arena, slot = self.locate(key)
        return session, arena.model, arena.gather([slot])[0]

    def look(self, key: Key, session: Session) -> tuple[Bundle, Floats] | None:
        """The state (S,) of a session that was found, and what describes it; nothing where its model is not served.

        The session is not brought into memory for it.
        """
        arena = self.residency.arena(session.build)
        if arena is None:
            return None
        located = self.residency.find(key)
        if located:
            return arena.model.bundle, arena.gather([located.slot])[0]
        with _reading():
            record = self._store.get(stored(Table.LIVE, key))
        return None if record is None else (arena.model.bundle, np.frombuffer(record.state, np.float32))

    def locate(self, key: Key) -> Located:
        """Where a session is in memory, where it is brought if need be; whether it has expired is for the caller to see.

        Raises SessionNotFound, SessionGone, ModelNotFound and ModelMismatch.
        """
        located = self.residency.find(key)
        if located is None:
            with _reading():
                located = self._load(key)
        self.residency.touch(located.arena, [located.slot])
        return located

    def located(self, keys: Sequence[Key]) -> tuple[list[Residents], dict[int, Refusal]]:
        """Where these sessions are in memory, where they are brought if need be, and why others cannot, by their places.

        Where there are more than have room, those that had to leave for others are in none of both.
        """
        residents = self.residency.find_all(keys)
        if sum(len(found.places) for found in residents) == len(keys):
            return residents, {}
        refused: dict[int, Refusal] = {}
        for place, key in enumerate(keys):
            try:
                self.locate(key)
            except Refusal as refusal:
                refused[place] = refusal
        return self.residency.find_all(keys), refused

    def expired(self, facts: Facts) -> Flags:
        """Which of these sessions (N,) have been idle for too long."""
        flags: Flags = self._now() - facts["active_at"] > self.limits.idle_seconds
        return flags

    def page(self, tenant: str, prefix: str, after: str, limit: int) -> list[tuple[str, Session]]:
        """At most `limit` sessions whose ids start with `prefix` and follow `after`, in the order of their ids."""
        with _reading():
            start, skip = stored_key(Key(tenant, prefix)), stored_key(Key(tenant, after))
            found = self._store.scan(Table.LIVE, start, skip if after else b"", limit)
        return [(key_of(key).id, session_in(record)) for key, record in found if record is not None]

    def commit(self, moved: Sequence[Moved], ended: Sequence[Ended], forgotten: Sequence[Key] = ()) -> None:
        """Keep all of it in one transaction, and only then take it over; raises StoreUnavailable, and nothing changed."""
        puts, deletes = transaction(moved, ended, forgotten)
        try:
            self._store.commit(puts, deletes)
        except StoreError as error:
            raise StoreUnavailable(f"nothing was applied: {error}; send it again") from error
        for end in ended:
            self.residency.evict(end.key)
            self.total -= 1
        for move in moved:
            self.total += len(move.keys) * move.created
            self.residency.settle(move)

    def idle(self, after: bytes, limit: int) -> tuple[list[Key], bytes]:
        """Those of the next `limit` sessions in the store that have expired, and where to go on; b"" at the end."""
        with _reading():
            found = self._store.scan(Table.LIVE, b"", after, limit)
        keys = [
            key_of(key) for key, record in found if record is not None and self.expired(unpack(record.header)[0])[0]
        ]
        return keys, found[-1][0] if len(found) == limit else b""

    def forgettable(self, after: bytes, limit: int) -> tuple[list[Key], bytes]:
        """Those of the next `limit` ended sessions that may be forgotten, and where to go on; b"" at the end."""
        with _reading():
            found = self._store.scan(Table.GONE, b"", after, limit)
        keys = [key_of(key) for key, record in found if self._is_old(record)]
        return keys, found[-1][0] if len(found) == limit else b""

    def is_forgettable(self, key: Key) -> bool:
        """Whether a session ended so long ago that this may be forgotten."""
        try:
            record = self._store.get(stored(Table.GONE, key))
        except CorruptRecord:
            return True
        return record is not None and self._is_old(record)

    def _is_old(self, record: Record | None) -> bool:
        """Whether a record of an end is older than they are kept, or damaged."""
        return record is None or Ending.unpack(record.header).at < self._now() - self.limits.tombstone_seconds

    def _read_session(self, key: Key) -> Session | None:
        record = self._store.get(stored(Table.LIVE, key))
        return None if record is None else session_in(record)

    def _load(self, key: Key) -> Located:
        """Bring a session from the store into memory."""
        try:
            record = self._store.get(stored(Table.LIVE, key))
            if record is None:
                raise self._absence(key)
            facts, build, metadata = unpack(record.header)
        except CorruptRecord:
            raise gone(key, Ending("damaged", self._now())) from None
        state = np.frombuffer(record.state, np.float32)
        return self.residency.bring(self._arena(key, build), key, facts, state, metadata)

    def _arena(self, key: Key, build: Build) -> Arena:
        arena = self.residency.arena(build)
        if arena is None:
            self._models.find(build.model, build.version)
            raise ModelMismatch(
                f"session {key.id!r} was made by another build of model {build.model} {build.version}; "
                f"serve that build, or close the session and open it anew with its history"
            )
        return arena

    def _absence(self, key: Key) -> SessionNotFound | SessionGone:
        record = self._store.get(stored(Table.GONE, key))
        if record is None:
            return SessionNotFound(f"there is no session {key.id!r}; open it first")
        return gone(key, Ending.unpack(record.header))


def gone(key: Key, ending: Ending) -> SessionGone:
    """The refusal for a session that ended."""
    at = format_time(ending.at)
    return SessionGone(
        f"session {key.id!r} was {ending.reason} at {at}; open it anew", reason=ending.reason, at=Moment(ending.at)
    )


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise StoreUnavailable(f"the session cannot be read: {error}") from error
