"""Resident session state: one float32 matrix whose rows are handed out as slots. What goes in and out is copied, never a view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.engine.arrays import Floats


class Arena:
    """A matrix of `capacity` states of `state_size` floats.

    The operating system commits its pages when they are first touched, so a large capacity costs nothing until it is used
    and the matrix is never copied to grow. Slots that were used before are therefore handed out first.
    """

    def __init__(self, capacity: int, state_size: int) -> None:
        self._states = np.zeros((capacity, state_size), np.float32)
        self._free: list[int] = []
        self._untouched = 0

    @property
    def used(self) -> int:
        """How many slots are taken."""
        return self._untouched - len(self._free)

    def take(self) -> int:
        """A slot; raises IndexError when all are taken."""
        if self._free:
            return self._free.pop()
        if self._untouched == len(self._states):
            raise IndexError(f"all {self._untouched} slots of the arena are taken")
        self._untouched += 1
        return self._untouched - 1

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)

    def gather(self, slots: Sequence[int]) -> Floats:
        """The states (N, S) in these slots."""
        return self._states[np.asarray(slots, np.intp)]

    def scatter(self, slots: Sequence[int], states: Floats) -> None:
        """Put states (N, S) into these slots."""
        self._states[np.asarray(slots, np.intp)] = states
