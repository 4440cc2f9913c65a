"""What one session observes: any part of it can be computed again at any time, so nothing has to be remembered to retry."""

from __future__ import annotations

import random
from dataclasses import dataclass

HOLE_EVERY, HOLE_STEPS = 23, 3


@dataclass(frozen=True, slots=True)
class Plan:
    """The endless observations of one session. Where `has_holes`, some steps are never sent, for the server to fill."""

    name: str
    has_holes: bool

    def observation(self, step: int) -> float | None:
        """What is observed at a step; None where it is missing or never sent."""
        if self.is_hole(step):
            return None
        draw = random.Random(f"{self.name}/{step}").random()
        return None if draw < 0.04 else round(draw * 7000, 2)

    def is_hole(self, step: int) -> bool:
        return self.has_holes and step % HOLE_EVERY < HOLE_STEPS

    def piece(self, after: int, most: int) -> Piece:
        """The next observations to be sent after a step, at most so many; they end where a hole begins."""
        first = after + 1
        while self.is_hole(first):
            first += 1
        last = first
        while last - first + 1 < most and not self.is_hole(last + 1):
            last += 1
        return Piece(first, tuple(self.observation(step) for step in range(first, last + 1)))


@dataclass(frozen=True, slots=True)
class Piece:
    """Observations of the steps from `first` on."""

    first: int
    values: tuple[float | None, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.values) - 1
