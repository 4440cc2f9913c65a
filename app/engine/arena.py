"""The resident sessions of one model, as columns: what goes in and out is copied, never a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.engine.arrays import Floats, Index
from app.engine.coverage import Coverage, coverage
from app.engine.fitting import Fitting
from app.engine.runtime import Model
from app.engine.session import FACTS, NO_METADATA, Facts, Key, Session, pack_tail

NEVER = np.iinfo(np.int64).max  # when a slot that is free was used


class Arena:
    """A state of S floats and the facts for each of at most `capacity` sessions, by slot.

    The operating system commits the pages of the columns when they are first touched, so a large capacity costs nothing until
    it is used, and nothing is ever copied to grow. Slots that were used before are therefore handed out first.
    """

    def __init__(self, model: Model, capacity: int) -> None:
        self.model = model
        self.fitting = Fitting(model.bundle)
        self.tail = pack_tail(model.build, NO_METADATA)
        self._states = np.zeros((capacity, model.bundle.state_size), np.float32)
        self._facts = np.zeros(capacity, FACTS)
        self._used = np.zeros(capacity, np.int64)
        self._keys: list[Key | None] = []
        self._slots: dict[Key, int] = {}
        self._free: list[int] = []
        self._metadata: dict[int, bytes] = {}
        self.changes = 0  # how often somebody came or left

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: Key) -> bool:
        return key in self._slots

    @property
    def slots(self) -> Mapping[Key, int]:
        """Where each resident session is."""
        return self._slots

    def gather(self, slots: Sequence[int] | Index) -> Floats:
        """The states (N, S) in these slots."""
        return self._states.take(np.asarray(slots, np.intp), axis=0)

    def coverage(self) -> Coverage | None:
        """How the bands of all sessions here did. Any thread may ask."""
        return coverage(self.model.bundle, self._states, np.array(list(self._slots.values()), np.intp))

    def facts(self, slots: Sequence[int] | Index) -> Facts:
        """The facts (N,) in these slots."""
        return self._facts.take(np.asarray(slots, np.intp))

    def metadata(self, slot: int) -> bytes:
        return self._metadata.get(slot, NO_METADATA)

    def tails(self, slots: Index) -> list[bytes]:
        """What follows the facts in the stored headers of the sessions in these slots."""
        if not self._metadata:
            return [self.tail] * len(slots)
        own = map(self._metadata.get, slots.tolist())
        return [self.tail if metadata is None else pack_tail(self.model.build, metadata) for metadata in own]

    def session(self, slot: int) -> Session:
        return Session.of(self._facts[slot], self.model.build, self.metadata(slot))

    def touch(self, slots: Sequence[int] | Index, now: int) -> None:
        """Note that these slots are used now, by a count that grows."""
        self._used[slots] = now

    def add(self, key: Key, metadata: bytes) -> int:
        """A slot for a session that has none, which `scatter` fills. There must be room."""
        self.changes += 1
        if self._free:
            slot = self._free.pop()
            self._keys[slot] = key
        else:
            slot = len(self._keys)
            self._keys.append(key)
        self._slots[key] = slot
        self.describe(slot, metadata)
        return slot

    def describe(self, slot: int, metadata: bytes) -> None:
        """Give the session in a slot its metadata."""
        self._metadata.pop(slot, None)
        if metadata != NO_METADATA:
            self._metadata[slot] = metadata

    def scatter(self, slots: Sequence[int] | Index, facts: Facts, states: Floats) -> None:
        """Put facts (N,) and states (N, S) into these slots."""
        index = np.asarray(slots, np.intp)
        self._states[index] = states
        self._facts[index] = facts

    def remove(self, key: Key) -> None:
        """Give back the slot of a session, if it has one."""
        slot = self._slots.pop(key, None)
        if slot is None:
            return
        self.changes += 1
        self._keys[slot] = None
        self._used[slot] = NEVER
        self._metadata.pop(slot, None)
        self._free.append(slot)

    def least_recent(self, count: int) -> list[tuple[int, Key]]:
        """At most `count` sessions that were not used for longest, with the count of their last use."""
        used = self._used[: len(self._keys)]
        count = min(count, len(self))
        if count == 0:
            return []
        oldest: Any = np.argpartition(used, count - 1)[:count]
        return [(int(used[slot]), key) for slot in oldest if (key := self._keys[slot]) is not None]
