"""Sessions as the store keeps them: which record lies where, and what a tick's changes mean for records."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.arrays import Floats
from app.engine.runtime import Model
from app.engine.session import FACTS, Ending, Facts, Key, Session, unpack
from app.stores.base import Place, Record, Table


@dataclass(frozen=True, slots=True)
class Moved:
    """Sessions of one model with their new facts (N,) and states (N, S); `created` where they did not exist before.

    A session's `tail` is the part of its stored header that stays as it is.
    """

    keys: Sequence[Key]
    model: Model
    facts: Facts
    states: Floats
    tails: Sequence[bytes]
    created: bool = False

    def records(self) -> list[Record]:
        """The sessions as the store keeps them."""
        headers = map(operator.add, _divided(self.facts.tobytes(), FACTS.itemsize), self.tails)
        return list(map(Record, headers, _divided(self.states.tobytes(), self.states[0].nbytes)))


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that is no more."""

    key: Key
    ending: Ending


def session_in(record: Record) -> Session:
    """The session that a live record describes; raises CorruptRecord."""
    facts, build, metadata = unpack(record.header)
    return Session.of(facts[0], build, metadata)


def transaction(
    moved: Sequence[Moved], ended: Sequence[Ended], forgotten: Sequence[Key]
) -> tuple[dict[Place, Record], list[Place]]:
    """What a store must put and remove for sessions that moved, ended and are forgotten."""
    puts: dict[Place, Record] = {}
    deletes = [stored(Table.GONE, key) for key in forgotten]
    for end in ended:
        puts[stored(Table.GONE, end.key)] = Record(end.ending.pack())
        deletes.append(stored(Table.LIVE, end.key))
    for move in moved:
        puts.update(zip((stored(Table.LIVE, key) for key in move.keys), move.records(), strict=True))
        if move.created:
            ends = [stored(Table.GONE, key) for key in move.keys]
            for end_place in ends:
                puts.pop(end_place, None)
            deletes += ends
    return puts, deletes


def stored(table: Table, key: Key) -> Place:
    """Where the record of a session is kept."""
    return Place(table, stored_key(key))


def stored_key(key: Key) -> bytes:
    """The key of a session's record: sessions of one tenant are neighbours, in the order of their ids."""
    return f"{key.tenant}\0{key.id}".encode()


def key_of(stored_key: bytes) -> Key:
    """Whose record lies under a key."""
    return Key(*stored_key.decode().split("\0", 1))


def _divided(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]
