"""The sessions this process serves: the recently used in arenas, all of them in the store. Nothing else may keep one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from app.engine.arena import Arena
from app.engine.arrays import Flags, Floats, Index
from app.engine.coverage import Coverage
from app.engine.places import key_of, stored, stored_key
from app.engine.records import Ended, Moved, session_in, transaction
from app.engine.registry import Models
from app.engine.roster import Found, Roster
from app.engine.runtime import Model
from app.engine.session import FACTS, Build, Ending, Facts, Key, Session, unpack
from app.errors import ModelMismatch, Moment, Refusal, SessionGone, SessionNotFound, StoreUnavailable
from app.stores.base import CorruptRecord, Record, Store, StoreError, Table
from app.times import format_time
from model.contract import Bundle

EVICTED_AT_ONCE = 64  # a share of the residents makes room for newcomers, so that looking for them is rare


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions may exist, how many of them in memory, and after how long they expire and are forgotten."""

    sessions: int = 1_000_000
    resident: int = 100_000
    idle_seconds: float = 30 * 86400
    tombstone_seconds: float = 7 * 86400


class Located(NamedTuple):
    """Where a session is in memory."""

    arena: Arena
    slot: int


class Residents(NamedTuple):
    """Where those sessions are in memory that stand in these places of a list."""

    arena: Arena
    places: Index
    slots: Index


class Sessions:
    """At most `limits.resident` sessions in memory, at most `limits.sessions` in the store. One thread uses it."""

    def __init__(self, store: Store, models: Models, limits: SessionLimits, now: Callable[[], float]) -> None:
        self._store = store
        self._models = models
        self.limits = limits
        self._now = now
        self._arenas = {served.model.build: Arena(served.model, limits.resident) for served in models}
        self._turn = 0
        self.total = store.count(Table.LIVE)

    @property
    def resident(self) -> int:
        """How many sessions are in memory."""
        return sum(map(len, self._arenas.values()))

    def coverage(self) -> Iterator[tuple[Model, Callable[[], Coverage | None]]]:
        """Of every model how to ask what the bands of its sessions in memory did; any thread may ask."""
        return ((arena.model, arena.coverage) for arena in self._arenas.values())

    def is_resident(self, key: Key) -> bool:
        return any(key in arena for arena in self._arenas.values())

    def occupant(self, key: Key) -> Session | Ending | None:
        """Who has this id: a session, what is left of one that has expired or is damaged, or nobody."""
        located = self._resident(key)
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
        arena = self._arenas.get(session.build)
        if arena is None:
            return None
        located = self._resident(key)
        if located:
            return arena.model.bundle, arena.gather([located.slot])[0]
        with _reading():
            record = self._store.get(stored(Table.LIVE, key))
        return None if record is None else (arena.model.bundle, np.frombuffer(record.state, np.float32))

    def locate(self, key: Key) -> Located:
        """Where a session is in memory, where it is brought if need be; whether it has expired is for the caller to see.

        Raises SessionNotFound, SessionGone, ModelNotFound and ModelMismatch.
        """
        located = self._resident(key)
        if located is None:
            with _reading():
                located = self._load(key)
        self.touch(located.arena, [located.slot])
        return located

    def located(self, keys: Sequence[Key]) -> tuple[list[Residents], dict[int, Refusal]]:
        """Where these sessions are in memory, where they are brought if need be, and why others cannot, by their places.

        Where there are more than have room, those that had to leave for others are in none of both.
        """
        residents = self._residents(keys)
        if sum(len(found.places) for found in residents) == len(keys):
            return residents, {}
        refused: dict[int, Refusal] = {}
        for place, key in enumerate(keys):
            try:
                self.locate(key)
            except Refusal as refusal:
                refused[place] = refusal
        return self._residents(keys), refused

    def _residents(self, keys: Sequence[Key]) -> list[Residents]:
        if isinstance(keys, Roster) and keys.found and keys.found.holds:
            return [Residents(keys.found.arena, np.arange(len(keys)), keys.found.slots)]
        found = []
        for arena in self._arenas.values():
            slots = list(map(arena.slots.get, keys))
            if None not in slots:
                index = np.array(slots, np.intp)
                if isinstance(keys, Roster):
                    keys.found = Found(arena, arena.changes, index)
                return [Residents(arena, np.arange(len(keys)), index)]
            places = [place for place, slot in enumerate(slots) if slot is not None]
            if places:
                found.append(Residents(arena, np.array(places), np.array([slots[place] for place in places], np.intp)))
        return found

    def touch(self, arena: Arena, slots: Sequence[int] | Index) -> None:
        """Note that these sessions are used now."""
        self._turn += 1
        arena.touch(slots, self._turn)

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
            self._evict(end.key)
            self.total -= 1
        for move in moved:
            self.total += len(move.keys) * move.created
            self._settle(move)

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

    def _resident(self, key: Key) -> Located | None:
        for arena in self._arenas.values():
            slot = arena.slots.get(key)
            if slot is not None:
                return Located(arena, slot)
        return None

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
        arena = self._arena(key, build)
        self._make_room(1)
        slot = arena.add(key, metadata)
        arena.scatter([slot], facts, np.frombuffer(record.state, np.float32))
        return Located(arena, slot)

    def _arena(self, key: Key, build: Build) -> Arena:
        if build not in self._arenas:
            self._models.find(build.model, build.version)
            raise ModelMismatch(
                f"session {key.id!r} was made by another build of model {build.model} {build.version}; "
                f"serve that build, or close the session and open it anew with its history"
            )
        return self._arenas[build]

    def _settle(self, move: Moved) -> None:
        """Make sessions resident as they are now, the last of them where not all have room."""
        arena = self._arenas[move.model.build]
        residents = [] if move.created else self._residents(move.keys)
        if len(residents) == 1 and residents[0].arena is arena and len(residents[0].slots) == len(move.keys):
            arena.scatter(residents[0].slots, move.facts, move.states)
            self.touch(arena, residents[0].slots)
            return
        newest = slice(-self.limits.resident, None)
        keys, tails = move.keys[newest], move.tails[newest]
        if move.created:
            for key in keys:
                self._evict(key)
        staying = [arena.slots[key] for key in keys if key in arena]
        self.touch(arena, staying)
        self._make_room(len(keys) - len(staying), len(staying))
        places = [
            arena.slots[key] if key in arena else arena.add(key, unpack(bytes(FACTS.itemsize) + tail)[2])
            for key, tail in zip(keys, tails, strict=True)
        ]
        arena.scatter(places, move.facts[newest], move.states[newest])
        self.touch(arena, places)

    def _make_room(self, newcomers: int, staying: int = 0) -> None:
        """Room for newcomers in place of those not used for longest; so many, used last, stay."""
        lacking = self.resident + newcomers - self.limits.resident
        if newcomers == 0 or lacking <= 0:
            return
        count = min(max(lacking, self.limits.resident // EVICTED_AT_ONCE), self.resident - staying)
        oldest = sorted(found for arena in self._arenas.values() for found in arena.least_recent(count))
        for _, key in oldest[:count]:
            self._evict(key)

    def _evict(self, key: Key) -> None:
        for arena in self._arenas.values():
            arena.remove(key)

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
