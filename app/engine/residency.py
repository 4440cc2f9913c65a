"""The sessions in memory, and who leaves for whom. What leaves is in the store, so this is a cache: it loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from app.engine.arena import Arena
from app.engine.arrays import Floats, Index
from app.engine.coverage import Coverage
from app.engine.records import Moved
from app.engine.registry import Models
from app.engine.roster import Found, Roster
from app.engine.runtime import Model
from app.engine.session import FACTS, Build, Facts, Key, unpack

EVICTED_AT_ONCE = 64  # a share of the residents makes room for newcomers, so that looking for them is rare


class Located(NamedTuple):
    """Where a session is in memory."""

    arena: Arena
    slot: int


class Residents(NamedTuple):
    """Where those sessions are in memory that stand in these places of a list."""

    arena: Arena
    places: Index
    slots: Index


class Residency:
    """At most `most` sessions in memory, in an arena for each model. One thread uses it."""

    def __init__(self, models: Models, most: int) -> None:
        self._most = most
        self._arenas = {served.model.build: Arena(served.model, most) for served in models}
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._arenas.values()))

    def __contains__(self, key: Key) -> bool:
        return any(key in arena for arena in self._arenas.values())

    def coverage(self) -> Iterator[tuple[Model, Callable[[], Coverage | None]]]:
        """Of every model how to ask what the bands of its sessions here did; any thread may ask."""
        return ((arena.model, arena.coverage) for arena in self._arenas.values())

    def arena(self, build: Build) -> Arena | None:
        """That of the sessions of a model, if it is served."""
        return self._arenas.get(build)

    def find(self, key: Key) -> Located | None:
        """Where a session is, if it is here."""
        for arena in self._arenas.values():
            slot = arena.slots.get(key)
            if slot is not None:
                return Located(arena, slot)
        return None

    def find_all(self, keys: Sequence[Key]) -> list[Residents]:
        """Where those of these sessions are that are here."""
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

    def bring(self, arena: Arena, key: Key, facts: Facts, state: Floats, metadata: bytes) -> Located:
        """Take in a session that is not here, with its facts (1,) and state (S,)."""
        self._make_room(1)
        slot = arena.add(key, metadata)
        arena.scatter([slot], facts, state)
        return Located(arena, slot)

    def settle(self, move: Moved) -> None:
        """Have sessions here as they are now, the last of them where not all have room."""
        arena = self._arenas[move.model.build]
        residents = [] if move.created else self.find_all(move.keys)
        if len(residents) == 1 and residents[0].arena is arena and len(residents[0].slots) == len(move.keys):
            arena.scatter(residents[0].slots, move.facts, move.states)
            self.touch(arena, residents[0].slots)
            return
        newest = slice(-self._most, None)
        keys, tails = move.keys[newest], move.tails[newest]
        if move.created:
            for key in keys:
                self.evict(key)
        staying = [arena.slots[key] for key in keys if key in arena]
        self.touch(arena, staying)
        self._make_room(len(keys) - len(staying), len(staying))
        slots = [
            arena.slots[key] if key in arena else arena.add(key, unpack(bytes(FACTS.itemsize) + tail)[2])
            for key, tail in zip(keys, tails, strict=True)
        ]
        arena.scatter(slots, move.facts[newest], move.states[newest])
        self.touch(arena, slots)

    def evict(self, key: Key) -> None:
        """Let a session go, if it is here."""
        for arena in self._arenas.values():
            arena.remove(key)

    def _make_room(self, newcomers: int, staying: int = 0) -> None:
        """Room for newcomers in place of those not used for longest; so many, used last, stay."""
        lacking = len(self) + newcomers - self._most
        if newcomers == 0 or lacking <= 0:
            return
        count = min(max(lacking, self._most // EVICTED_AT_ONCE), len(self) - staying)
        oldest = sorted(found for arena in self._arenas.values() for found in arena.least_recent(count))
        for _, key in oldest[:count]:
            self.evict(key)
