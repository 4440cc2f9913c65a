"""How fast the engine is at present, and so how long a newcomer would wait. The compute thread writes it, everybody reads it."""

from __future__ import annotations

import math

from app.errors import Overloaded

FEWEST_ROWS = 16  # that a tick must have to say what a row takes: in a smaller one the tick itself takes more than they
ROW_SECONDS = 20e-6  # before anything was measured
FORGETTING = 1 / 64  # by how much the time of a row grows with each tick that takes longer
WEIGHT = 1 / 16  # of the newest tick: one slow commit, or the first tick of all, does not look like an overload
LONGEST_RETRY_SECONDS = 60


class Pace:
    """The seconds of a full tick, a moving average, and since when the present one runs; and the seconds of a row, the least of
    the last ticks, since many things can hold up a tick that have nothing to do with its size.

    A tick of fewer than `rows` rows counts as a full one, one of more as several.
    """

    def __init__(self, rows: int, longest_wait_seconds: float) -> None:
        self._rows = rows
        self._longest_wait_seconds = longest_wait_seconds
        self._seconds = 0.0
        self._row_seconds = ROW_SECONDS
        self._began: float | None = None

    def begin(self, now: float) -> None:
        """A tick begins."""
        self._began = now

    def end(self, now: float, rows: int, commit_seconds: float = 0.0) -> None:
        """It has ended, with so many rows, and so much of it was spent on the store."""
        if self._began is None:
            return
        seconds = now - self._began
        if rows >= FEWEST_ROWS:
            self._row_seconds = min(self._row_seconds * (1 + FORGETTING), (seconds - commit_seconds) / rows)
        self._seconds += WEIGHT * (seconds / max(1.0, rows / self._rows) - self._seconds)
        self._began = None

    def rows_within(self, seconds: float) -> int:
        """How many rows a tick of so many seconds has, at least a few."""
        return max(FEWEST_ROWS, int(seconds / self._row_seconds))

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
