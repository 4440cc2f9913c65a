"""How fast the engine is at present, and so how long a newcomer would wait. The compute thread writes it, everybody reads it."""

from __future__ import annotations

import math

from app.errors import Overloaded

WEIGHT = 1 / 16  # of the newest tick: one slow commit, or the first tick of all, does not look like an overload
LONGEST_RETRY_SECONDS = 60


class Pace:
    """The seconds of a full tick, a moving average, and since when the present one runs.

    A tick of fewer than `rows` rows counts as a full one, one of more as several.
    """

    def __init__(self, rows: int, longest_wait_seconds: float) -> None:
        self._rows = rows
        self._longest_wait_seconds = longest_wait_seconds
        self._seconds = 0.0
        self._began: float | None = None

    def begin(self, now: float) -> None:
        """A tick begins."""
        self._began = now

    def end(self, now: float, rows: int) -> None:
        """It has ended, with so many rows."""
        if self._began is None:
            return
        seconds = (now - self._began) / max(1.0, rows / self._rows)
        self._seconds += WEIGHT * (seconds - self._seconds)
        self._began = None

    def wait_seconds(self, ticks: float, now: float) -> float:
        """How long until the present tick and so many more are done. The present one lasts at least as long as it has lasted."""
        began, seconds = self._began, self._seconds
        present = 0.0 if began is None else max(now - began, seconds)
        return present + ticks * seconds

    def admit(self, ticks: float, now: float) -> None:
        """Raise Overloaded, saying when to try again, for whoever would wait too long behind so many ticks."""
        wait = self.wait_seconds(ticks, now)
        if wait > self._longest_wait_seconds:
            again = min(max(1, math.ceil(wait)), LONGEST_RETRY_SECONDS)
            raise Overloaded(
                f"this would wait for {wait:.1f} s, and at most {self._longest_wait_seconds:g} s are waited for; "
                f"try again in {again} s",
                retry_after=again,
            )
