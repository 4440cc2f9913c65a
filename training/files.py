"""A table as it lies in a file: its columns as arrays, and every complaint with the file, the column and the row."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.contract import kind_of
from training.errors import InputError, suggestion
from training.times import parse_time

SEPARATORS = ",;\t"
MISSING = ("", "nan", "na", "n/a", "null", "none")
NO_KIND = ("", "nan", "null")  # where text is meant, "none" is a kind
SUFFIXES = (".csv", ".csv.gz", ".parquet")
AGAIN = "_duplicated_0"  # behind the name of a column that a CSV file has a second time, as polars reads it
Kinds = NDArray[np.object_]  # text, or None where missing
ROW = "row of the file"  # an added column: rows count from 1; in CSV the header is line 1, so row 1 is line 2


@dataclass(frozen=True, slots=True)
class Table:
    """The non-empty rows of a file; columns of a CSV file are text."""

    path: Path
    frame: pl.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    def times(self, name: str) -> NDArray[np.int64]:
        """Epoch seconds (n,); raises InputError at the first row that holds no time."""
        column = self._column(name)
        if column.dtype.is_temporal():
            return self._datetimes(column)
        if not (column.dtype == pl.String or column.dtype.is_integer()):
            raise self.complaint(f"holds {column.dtype}, not times", name)
        times = np.empty(len(column), np.int64)
        for i, text in enumerate(column.cast(pl.String).fill_null("")):
            try:
                times[i] = parse_time(text)
            except ValueError as error:
                raise self.complaint(str(error), name, i) from None
        return times

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Numbers (n,), NaN where missing; raises InputError at the first row that holds something else."""
        column = self._column(name)
        if column.dtype == pl.String:
            words = column.str.strip_chars().str.to_lowercase()
            words = words.set(words.is_in(MISSING), None).replace({"true": "1", "false": "0"})
            numbers = words.cast(pl.Float64, strict=False)
            self._refuse_first((numbers.is_null() & words.is_not_null()).to_numpy(), "is not a number", name)
        elif column.dtype.is_numeric() or isinstance(column.dtype, (pl.Boolean, pl.Null)):
            numbers = column.cast(pl.Float64)
        else:
            raise self.complaint(f"holds {column.dtype}, not numbers", name)
        with np.errstate(over="ignore"):  # what overflows is refused just below
            found = numbers.fill_null(np.nan).to_numpy().astype(np.float32)
        self._refuse_first(np.isinf(found), "is not a finite 32-bit number", name)
        return found

    def kinds(self, name: str) -> Kinds:
        """Text (n,), None where missing; where all are numbers, as `kind_of` writes them."""
        words = self._words(name)
        numbers = words.cast(pl.Float64, strict=False)
        if numbers.null_count() > words.null_count():
            return words.to_numpy().astype(np.object_)
        found = numbers.fill_null(np.nan).to_numpy().astype(np.float32)
        return np.array([kind_of(number) for number in found.tolist()], np.object_)

    def names_kinds(self, name: str) -> bool:
        """Whether a column has text and no number at all."""
        words = self._words(name).drop_nulls()
        words = words.filter(~words.str.to_lowercase().is_in(("true", "false")))
        return len(words) > 0 and words.cast(pl.Float64, strict=False).is_null().all()

    def labels(self, name: str) -> NDArray[np.str_]:
        """Text (n,); raises InputError at the first row that has none."""
        column = self._column(name).cast(pl.String)
        empty = column.is_null() | (column.str.strip_chars() == "")
        if empty.any():
            raise self.complaint("is empty; every row needs the id of its series", name, int(empty.arg_max() or 0))
        return column.to_numpy().astype(np.str_)

    def complaint(self, what: str, column: str, i: int | None = None) -> InputError:
        """The error to raise about a column, or about its i-th value."""
        place = f"{self.path}: column {column!r}"
        return InputError(f"{place} {what}" if i is None else f"{place}, {self.place(i)}: {what}")

    def place(self, i: int) -> str:
        """What a person calls the i-th row."""
        row = int(self.frame[ROW][i])
        return f"row {row}" if self.path.suffix == ".parquet" else f"row {row} (line {row + 1})"

    @property
    def columns(self) -> list[str]:
        """The columns of the file."""
        return [column for column in self.frame.columns if column != ROW]

    def _column(self, name: str) -> pl.Series:
        if name not in self.columns:
            raise InputError(f"{self.path}: column {name!r} is not in the file; {suggestion(name, self.columns)}")
        if name + AGAIN in self.columns:
            raise self.complaint("is in the file twice; rename or remove one", name)
        return self.frame[name]

    def _words(self, name: str) -> pl.Series:
        """Text without the words for a missing value."""
        words = self._column(name).cast(pl.String).str.strip_chars()
        return words.set(words.str.to_lowercase().is_in(NO_KIND), None)

    def _datetimes(self, column: pl.Series) -> NDArray[np.int64]:
        if not isinstance(column.dtype, (pl.Datetime, pl.Date)):
            raise self.complaint(f"holds {column.dtype}, not times", column.name)
        if column.null_count():
            raise self.complaint("is empty; every row needs a time", column.name, int(column.is_null().arg_max() or 0))
        microseconds = column.cast(pl.Datetime("us")).to_physical().to_numpy()
        seconds, fraction = np.divmod(microseconds, 1_000_000)
        self._refuse_first(fraction != 0, "is not in whole seconds", column.name)
        return seconds

    def _refuse_first(self, wrong: NDArray[np.bool_], what: str, name: str) -> None:
        if wrong.any():
            i = int(wrong.argmax())
            raise self.complaint(f"{str(self.frame[name][i])[:40]!r} {what}; correct it, or leave it empty", name, i)


def read_table(path: Path) -> Table:
    """Read a .csv, .csv.gz or .parquet file; raises InputError when it cannot be read or has no rows."""
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: is none of {', '.join(SUFFIXES)}; convert it, or correct its name")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; correct --data")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0].rstrip(" .") if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); is it a complete {path.suffix[1:]} file?") from error
    columns = frame.columns
    rows = frame.with_row_index(ROW, offset=1).filter(~pl.all_horizontal(pl.col(columns).is_null()))
    if rows.is_empty():
        raise InputError(f"{path}: has no rows below its header; it must hold one row per time")
    return Table(path, rows)


def _read_csv(path: Path) -> pl.DataFrame:
    """A CSV file as text, so that what is wrong can be named; its separator is the one its header uses."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        header = lines.readline()
    return pl.read_csv(path, infer_schema=False, separator=max(SEPARATORS, key=header.count))
