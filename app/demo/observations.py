"""The demo's data: the shipped CSV on its hourly grid."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

STEP = 3600
TARGET = "traffic_volume"
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One observation an hour from `start` (epoch seconds) on; None where nothing was observed."""

    start: int
    values: Values
    covariates: dict[str, Values]

    def __len__(self) -> int:
        return len(self.values)

    def index(self, day: str) -> int:
        """The first hour of a day (ISO date, UTC)."""
        return (_epoch(day) - self.start) // STEP

    def part(self, begin: int, end: int) -> Series:
        """The hours from one index to before another."""
        covariates = {name: values[begin:end] for name, values in self.covariates.items()}
        return Series(self.start + begin * STEP, self.values[begin:end], covariates)


def read(path: Path) -> Series:
    """The shipped data set; raises ValueError naming the file when it is not there."""
    if not path.exists():
        raise ValueError(
            f"{path} is not there: run the demo from a clone of the repository, or name the file with --data"
        )
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        rows = {_epoch(row["time"]): row for row in csv.DictReader(lines)}
    start, end = min(rows), max(rows)
    names = [name for name in next(iter(rows.values())) if name not in {"time", TARGET}]
    grid = [rows.get(time, {}) for time in range(start, end + STEP, STEP)]
    columns: dict[str, Values] = {name: [_number(row.get(name)) for row in grid] for name in (TARGET, *names)}
    return Series(start, columns.pop(TARGET), columns)


def _epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _number(text: str | None) -> float | None:
    return float(text) if text else None
