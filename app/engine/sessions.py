"""The sessions this process serves: the recently used in the arena, all of them in the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from app.engine.arena import Arena
from app.engine.arrays import Floats
from app.engine.registry import Models
from app.engine.runtime import Model
from app.engine.session import Ending, Key, Session
from app.errors import ModelMismatch, SessionGone, SessionNotFound, StoreUnavailable
from app.stores.base import Place, Record, Store, StoreError, Table
from app.times import format_time


@dataclass(frozen=True, slots=True)
class Moved:
    """Sessions of one model with their new states (N, S); `created` where they did not exist before."""

    keys: Sequence[Key]
    sessions: Sequence[Session]
    states: Floats
    created: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that is no more."""

    key: Key
    ending: Ending


class Resident(NamedTuple):
    """A session in the arena."""

    session: Session
    arena: Arena
    slot: int


class Sessions:
    """At most `max_resident` sessions in memory, any number in the store. One thread uses it."""

    def __init__(self, store: Store, models: Models, max_resident: int) -> None:
        self._store = store
        self._models = models
        self._max_resident = max_resident
        self._residents: OrderedDict[Key, Resident] = OrderedDict()  # least recently used first
        self._arenas: dict[tuple[str, str], Arena] = {}
        self.total = store.count(Table.LIVE)

    @property
    def resident(self) -> int:
        """How many sessions are in the arena."""
        return len(self._residents)

    def is_resident(self, key: Key) -> bool:
        return key in self._residents

    def find(self, key: Key) -> Session:
        """The session, which is resident from now on if its model is served. Raises SessionNotFound or SessionGone."""
        if key in self._residents:
            self._residents.move_to_end(key)
            return self._residents[key].session
        with _reading():
            record = self._store.get(_stored(Table.LIVE, key))
            if record is None:
                raise self._absence(key)
        session = Session.unpack(record.header)
        state = np.frombuffer(record.state, np.float32)
        if self._serves(session, state):
            self._settle([key], [session], state[None])
        return session

    def exists(self, key: Key) -> bool:
        with _reading():
            return key in self._residents or self._store.get(_stored(Table.LIVE, key)) is not None

    def gather(self, key: Key) -> tuple[Session, Model, Floats]:
        """A session, its model and its state (S,). Raises ModelNotFound and ModelMismatch beside what `find` raises."""
        session = self.find(key)
        model = self._models.find(session.model, session.version)
        if key not in self._residents:
            raise ModelMismatch(
                f"session {key.id!r} was made by another build of model {session.model} {session.version}, whose state has "
                f"another size; serve that build, or close the session and open it anew with its history"
            )
        resident = self._residents[key]
        return session, model, resident.arena.gather([resident.slot])[0]

    def page(self, tenant: str, prefix: str, after: str, limit: int) -> list[tuple[str, Session]]:
        """At most `limit` sessions whose ids start with `prefix` and follow `after`, in the order of their ids."""
        with _reading():
            start, skip = _bytes(Key(tenant, prefix)), _bytes(Key(tenant, after))
            found = self._store.scan(Table.LIVE, start, skip if after else b"", limit)
        return [
            (key.rpartition(b"\0")[2].decode(), Session.unpack(record.header))
            for key, record in found
            if record is not None
        ]

    def commit(self, moved: Sequence[Moved], ended: Sequence[Ended]) -> None:
        """Keep all of it in one transaction, and only then take it over; raises StoreUnavailable, and nothing changed."""
        puts, deletes = _transaction(moved, ended)
        try:
            self._store.commit(puts, deletes)
        except StoreError as error:
            raise StoreUnavailable(f"nothing was applied: {error}; send it again") from error
        for move in moved:
            self._settle(move.keys, move.sessions, move.states)
            self.total += len(move.keys) * move.created
        for end in ended:
            self._evict(end.key)
            self.total -= 1

    def _settle(self, keys: Sequence[Key], sessions: Sequence[Session], states: Floats) -> None:
        """Make sessions of one model resident with these states (N, S), the last of them where not all have room."""
        newest = slice(-self._max_resident, None)
        arena = self._arena(sessions[0], states.shape[1])
        for key, session in zip(keys[newest], sessions[newest], strict=True):
            slot = self._residents[key].slot if key in self._residents else self._slot(arena)
            self._residents[key] = Resident(session, arena, slot)
            self._residents.move_to_end(key)
        arena.scatter([self._residents[key].slot for key in keys[newest]], states[newest])

    def _slot(self, arena: Arena) -> int:
        if len(self._residents) == self._max_resident:
            self._evict(next(iter(self._residents)))
        return arena.take()

    def _evict(self, key: Key) -> None:
        resident = self._residents.pop(key, None)
        if resident is not None:
            resident.arena.release(resident.slot)

    def _arena(self, session: Session, state_size: int) -> Arena:
        place = (session.model, session.version)
        if place not in self._arenas:
            self._arenas[place] = Arena(self._max_resident, state_size)
        return self._arenas[place]

    def _serves(self, session: Session, state: Floats) -> bool:
        versions = self._models.served.get(session.model, {})
        served = versions.get(int(session.version))
        return served is not None and served.model.bundle.state_size == len(state)

    def _absence(self, key: Key) -> SessionNotFound | SessionGone:
        record = self._store.get(_stored(Table.GONE, key))
        if record is None:
            return SessionNotFound(f"there is no session {key.id!r}; open it first")
        ending = Ending.unpack(record.header)
        at = format_time(ending.at)
        return SessionGone(f"session {key.id!r} was {ending.reason} at {at}; open it anew", reason=ending.reason, at=at)


def _transaction(moved: Sequence[Moved], ended: Sequence[Ended]) -> tuple[dict[Place, Record], list[Place]]:
    puts: dict[Place, Record] = {}
    deletes: list[Place] = []
    for move in moved:
        for key, session, state in zip(move.keys, move.sessions, move.states, strict=True):
            puts[_stored(Table.LIVE, key)] = Record(session.pack(), state.tobytes())
            if move.created:
                deletes.append(_stored(Table.GONE, key))
    for end in ended:
        puts[_stored(Table.GONE, end.key)] = Record(end.ending.pack())
        deletes.append(_stored(Table.LIVE, end.key))
    return puts, deletes


def _stored(table: Table, key: Key) -> Place:
    return Place(table, _bytes(key))


def _bytes(key: Key) -> bytes:
    return f"{key.tenant}\0{key.id}".encode()


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise StoreUnavailable(f"the session cannot be read: {error}") from error
