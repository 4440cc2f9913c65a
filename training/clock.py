"""What the rows of a file say about time: the time itself, their number in the series, or nothing but their order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from training import grid
from training.errors import InputError
from training.files import Table

USUAL = "time"  # what the column of times is called where none is named


class Kind(StrEnum):
    """What is known of when a series was observed. Only `TIMES` of different series can be compared."""

    TIMES = "times"
    NUMBERS = "numbers"  # the first row's number tells the phase of its seasons
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Clock:
    """The column that was read, if any, its kind, and epoch seconds (n,); numbers and order count steps from 1970 on."""

    column: str
    kind: Kind
    seconds: NDArray[np.int64]


def read_clock(table: Table, column: str | None, ids: NDArray[np.str_], frequency: int | None) -> Clock:
    """The clock of a table; raises InputError where there is no column of times and no frequency to count in.

    Whole numbers that mostly differ by one are rows' numbers where a frequency other than a second is given.
    """
    if column is None and USUAL not in table.columns:
        if frequency is None:
            raise InputError(
                f"{table.path}: has no column {USUAL!r}; name it with --time, or give --frequency if there is none"
            )
        return Clock("order of rows", Kind.ORDER, _order(ids) * frequency)
    name = column or USUAL
    seconds = table.times(name)
    if frequency is not None and frequency != 1 and _counts(seconds, ids):
        return Clock(name, Kind.NUMBERS, seconds * frequency)
    return Clock(name, Kind.TIMES, seconds)


def _order(ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """The number of each row within its series, from 0."""
    number = np.empty(len(ids), np.int64)
    for rows in grid.stretches(np.arange(len(ids)), ids):
        number[rows] = np.arange(len(rows))
    return number


def _counts(seconds: NDArray[np.int64], ids: NDArray[np.str_]) -> bool:
    """Whether rows of one series mostly differ by one."""
    steps = np.concatenate([np.diff(seconds[rows]) for rows in grid.stretches(seconds, ids)])
    return bool(len(steps)) and 2 * int((steps == 1).sum()) > len(steps)
