"""The regular grid that times must lie on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError
from training.files import Table
from training.seasons import DAY
from training.times import format_duration, format_time

SPARSEST = 10  # grid points to an observation: beyond it one time is probably mistyped
FEW = 100  # observations, which may lie as far apart as those of a longer series
CALENDAR = {"months": (28, 30, 31), "quarters": (90, 91, 92), "years": (365, 365, 366)}  # days: fewest, usual, most
MOST = 0.9  # of all steps
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Times:
    """The column of times of a table, `seconds` (n,); a stretch is the rows of one series in the order of time."""

    table: Table
    column: str
    seconds: NDArray[np.int64]

    def frequency(self, stretches: Sequence[Rows], asked: int | None) -> int:
        """The most common step, the shortest of several; raises InputError where another was asked for."""
        found, counts = np.unique(
            np.concatenate([np.diff(self.seconds[rows]) for rows in stretches]), return_counts=True
        )
        if not found.size:
            raise self._complaint("has no two times of one series; a history needs many")
        usual = int(found[counts.argmax()])
        self._refuse_calendar(found, counts)
        if asked is not None and asked != usual:
            given, remedy = format_duration(asked), format_duration(usual)
            raise self._complaint(f"is mostly {remedy} from row to row, not --frequency {given}; give {remedy}")
        return usual

    def _refuse_calendar(self, steps: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Raise InputError where these different steps, so many of each, are those of a calendar: they make no grid."""
        for name, (fewest, usual, most) in CALENDAR.items():
            alike = (steps >= fewest * DAY) & (steps <= most * DAY)
            if counts[alike].sum() > MOST * counts.sum() > counts.max():
                raise self._complaint(
                    f"holds calendar {name}, which are not all of one length; take rows in their order instead: leave out "
                    f"--time, give --frequency {usual}d, and let no column be called time"
                )

    def refuse_repeated(self, rows: Rows, remedy: str) -> None:
        """Raise InputError where a stretch has a time twice."""
        repeats = np.flatnonzero(np.diff(self.seconds[rows]) == 0)
        if repeats.size:
            first, second = sorted(map(int, rows[repeats[0] : repeats[0] + 2]))
            raise self._complaint(f"repeats the time of {self.table.place(first)}; {remedy}", second)

    def places(self, rows: Rows, frequency: int) -> Rows:
        """Grid points of a stretch, from 0 on.

        Raises InputError where a time has another phase than most, or stands so far off that it must be mistyped.
        """
        seconds = self.seconds[rows]
        phases, counts = np.unique(seconds % frequency, return_counts=True)
        off = seconds % frequency != phases[counts.argmax()]
        if off.any():
            grid = format_duration(frequency)
            raise self._complaint(
                f"is off the {grid} grid of the other rows; correct or remove it", int(rows[off].min())
            )
        places: Rows = (seconds - seconds[0]) // frequency
        if places[-1] > SPARSEST * max(len(rows), FEW):
            far = int(np.diff(seconds).argmax()) + 1
            gap = _in_days(int(seconds[far] - seconds[far - 1]))
            raise self._complaint(
                f"comes {gap} after the time before it; correct it, or leave out what lies before", int(rows[far])
            )
        return places

    def _complaint(self, what: str, i: int | None = None) -> InputError:
        if i is None:
            return self.table.complaint(what, self.column)
        return self.table.complaint(f"{format_time(int(self.seconds[i]))} {what}", self.column, i)


def _in_days(seconds: int) -> str:
    """A duration to the day where it has one: how far off a mistyped time is needs no hours."""
    return format_duration(seconds - seconds % DAY if seconds > DAY else seconds)


def stretches(time: NDArray[np.int64], ids: NDArray[np.str_]) -> Iterator[Rows]:
    """The rows of each series in the order of time, series in the order of their ids."""
    order = np.lexsort((time, ids))
    edges = np.flatnonzero(ids[order][1:] != ids[order][:-1]) + 1
    yield from np.split(order, edges)


def spread(places: Rows, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of values (n, m) put in their places on the grid, NaN between them."""
    grid = np.full((int(places[-1]) + 1, values.shape[1]), np.nan, np.float32)
    grid[places] = values
    return grid
