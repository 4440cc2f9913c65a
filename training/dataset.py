"""Series on a full regular grid: what a table of observations becomes before anything is learned from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.contract import Covariate
from training import grid
from training.clock import Kind, read_clock
from training.errors import InputError
from training.files import Kinds, Table, read_table
from training.times import format_time


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file play which role."""

    time: str | None
    target: tuple[str, ...]
    series: str | None = None
    covariates: tuple[Covariate, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """One series: `values` f32 (T, C) and `covariates` f32 (T, K), NaN where missing, from `start` in epoch seconds on."""

    id: str
    start: int
    values: NDArray[np.float32]
    covariates: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Panel:
    """Series of one frequency (seconds); of their grid points `filled` are not in the file, and missing. Where the clock
    does not tell times, every series counts its own from 1970 on.
    """

    frequency: int
    channels: tuple[str, ...]
    covariates: tuple[Covariate, ...]
    series: tuple[Series, ...]
    filled: int
    clock: Kind = Kind.TIMES

    def __len__(self) -> int:
        return sum(len(series) for series in self.series)

    @property
    def kinds(self) -> tuple[int, ...]:
        """Which covariates are of a kind and not of an amount."""
        return tuple(i for i, covariate in enumerate(self.covariates) if covariate.categories)

    @property
    def start(self) -> int:
        """The first time of any series, in epoch seconds."""
        return min(series.start for series in self.series)

    @property
    def end(self) -> int:
        """The last time of any series, in epoch seconds."""
        return max(self.time(series, len(series) - 1) for series in self.series)

    def time(self, series: Series, row: int) -> int:
        """Epoch seconds of a row of a series."""
        return series.start + row * self.frequency

    def row(self, series: Series, time: int) -> int:
        """The first row of a series at or after a time, at most its length."""
        return min(max(0, -((series.start - time) // self.frequency)), len(series))


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of every series where validation and test begin, at the same two moments in all of them."""

    validate_from: tuple[int, ...]
    test_from: tuple[int, ...]


def read_panel(path: Path, columns: Columns, frequency: int | None = None) -> Panel:
    """Read series from a file; the frequency is the most common step where none is given.

    Raises InputError naming file, column and row for what cannot be used.
    """
    table = read_table(path)
    ids = table.labels(columns.series) if columns.series else np.full(len(table), path.name.split(".")[0])
    clock = read_clock(table, columns.time, ids, frequency)
    times = grid.Times(table, clock.column, clock.seconds)
    values = _targets(table, columns.target)
    covariates, known = _covariates(table, columns)

    stretches = list(grid.stretches(times.seconds, ids))
    remedy = "keep one row per time" + ("" if columns.series else ", or name the column of ids with --series")
    for rows in stretches:
        times.refuse_repeated(rows, remedy)
    frequency = times.frequency(stretches, frequency)
    series = []
    for rows in stretches:
        places = times.places(rows, frequency)
        on_grid = grid.spread(places, values[rows]), grid.spread(places, known[rows])
        series.append(Series(str(ids[rows[0]]), int(times.seconds[rows[0]]), *on_grid))
    filled = sum(len(one) for one in series) - len(table)
    return Panel(frequency, columns.target, covariates, tuple(series), filled, clock.kind)


def split_panel(panel: Panel, horizon: int, validate_from: int | None = None, test_from: int | None = None) -> Split:
    """Training, validation and test part of every series, by calendar time.

    Left out, the test part is the last fifth of the time that the series span, and validation the tenth before it; of each
    series by itself, where they have no times to compare.
    Raises InputError when a series has fewer steps in a part than a forecast is long, or there is nothing to learn from or
    to judge by.
    """
    if panel.clock is not Kind.TIMES and validate_from is None and test_from is None:
        return _split_each(panel, horizon)
    span = panel.end - panel.start
    test_from = panel.end - span // 5 if test_from is None else test_from
    validate_from = test_from - span // 10 if validate_from is None else validate_from
    if not panel.start < validate_from < test_from <= panel.end:
        parts = f"--validate-from {format_time(validate_from)} and --test-from {format_time(test_from)}"
        data = f"{format_time(panel.start)} to {format_time(panel.end)}"
        raise InputError(f"{parts} must lie in this order within the data, {data}; name other times")
    fences = [(panel.row(series, validate_from), panel.row(series, test_from)) for series in panel.series]
    for series, (validate, test) in zip(panel.series, fences, strict=True):
        _refuse_short(series, (0, validate, test, len(series)), horizon)
    _refuse_empty(panel, fences)
    return Split(*(tuple(rows) for rows in zip(*fences, strict=True)))


def _split_each(panel: Panel, horizon: int) -> Split:
    """The last fifth of every series for the test, the tenth before it for validation, and a horizon at the least."""
    fences = []
    for series in panel.series:
        test = len(series) - max(horizon, len(series) // 5)
        fences.append((test - max(horizon, len(series) // 10), test))
        _refuse_short(series, (0, *fences[-1], len(series)), horizon)
    _refuse_empty(panel, fences)
    return Split(*(tuple(rows) for rows in zip(*fences, strict=True)))


def _side_by_side(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns of numbers as one array (n, columns)."""
    return np.stack([table.numbers(name) for name in names], 1) if names else np.zeros((len(table), 0), np.float32)


def _covariates(table: Table, columns: Columns) -> tuple[tuple[Covariate, ...], NDArray[np.float32]]:
    """The covariates with all the categories that they have, and their columns (n, K)."""
    found: list[Covariate] = []
    known = np.zeros((len(table), len(columns.covariates)), np.float32)
    for i, covariate in enumerate(columns.covariates):
        if covariate.name in columns.categories or table.names_kinds(covariate.name):
            one, known[:, i] = _numbered(covariate, table.kinds(covariate.name))
        else:
            one, known[:, i] = covariate, table.numbers(covariate.name)
        found.append(one)
    return tuple(found), known


def _numbered(covariate: Covariate, kinds: Kinds) -> tuple[Covariate, NDArray[np.float32]]:
    """A covariate with all kinds of a column as its categories, and the column (n,) by their numbers."""
    found = replace(covariate, categories=tuple(sorted({kind for kind in kinds if kind is not None})))
    return found, np.array([found.number(kind) for kind in kinds], np.float32)


def _targets(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    values = _side_by_side(table, names)
    for name, column in zip(names, values.T, strict=True):
        if np.isnan(column).all():
            raise table.complaint("holds no value at all; name another --target", name)
    return values


def _refuse_empty(panel: Panel, fences: Sequence[tuple[int, int]]) -> None:
    for part in ("validation", "test"):
        rows = (slice(*fence) if part == "validation" else slice(fence[1], None) for fence in fences)
        if all(np.isnan(series.values[some]).all() for series, some in zip(panel.series, rows, strict=True)):
            raise InputError(
                f"no series has a target with any value in the {part} part; move --validate-from and --test-from"
            )


def _refuse_short(series: Series, fences: tuple[int, int, int, int], horizon: int) -> None:
    for part, (begin, end) in zip(("training", "validation", "test"), pairwise(fences), strict=True):
        if end - begin < horizon:
            raise InputError(
                f"series {series.id!r} is too short: {end - begin} of its {len(series)} steps lie in the {part} part, and "
                f"--horizon {horizon} needs {horizon}; shorten it, leave the series out, or move --validate-from and --test-from"
            )
    if np.isnan(series.values[: fences[1]]).all(axis=0).any():
        raise InputError(f"series {series.id!r} has a target without any value in the training part; leave it out")
