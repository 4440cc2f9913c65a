"""Sessions as the store keeps them: what a tick's changes mean for records."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engine.arrays import Floats
from app.engine.places import stored
from app.engine.roster import Roster
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
        headers = map(operator.add, _bytes_of_rows(self.facts, FACTS.itemsize), self.tails)
        return list(map(Record, headers, _bytes_of_rows(self.states, self.states[0].nbytes)))


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
        puts.update(zip(_live_places(move.keys), move.records(), strict=True))
        if move.created:
            ends = [stored(Table.GONE, key) for key in move.keys]
            for end_place in ends:
                puts.pop(end_place, None)
            deletes += ends
    return puts, deletes


def _live_places(keys: Sequence[Key]) -> Sequence[Place]:
    return keys.places if isinstance(keys, Roster) else [stored(Table.LIVE, key) for key in keys]


def _bytes_of_rows(array: NDArray[Any], size: int) -> list[bytes]:
    """The bytes of every row of `size` bytes, copied one by one."""
    rows: list[bytes] = np.ascontiguousarray(array).view(f"V{size}").ravel().tolist()
    return rows
