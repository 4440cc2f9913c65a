#!/usr/bin/env python3
"""Makes metro_traffic.csv.gz from the file that UCI publishes: `python prepare.py Metro_Interstate_Traffic_Volume.csv.gz`."""

import gzip
import sys
from datetime import datetime
from pathlib import Path

import polars as pl

FIRST = datetime(2016, 1, 1)  # noqa: DTZ001 - the source's clock is local time without a zone
MOST_RAIN = 1_000.0  # mm in an hour; the one reading above it (9,831.3) is a fault of the gauge


def prepare(source: Path) -> pl.DataFrame:
    """One row per observed hour from 2016 on; the source repeats an hour for each kind of weather seen in it."""
    raw = pl.read_csv(source, null_values="None").with_columns(pl.col("date_time").str.to_datetime("%Y-%m-%d %H:%M:%S"))
    day = pl.col("date_time").dt.date()  # the source names a holiday only in its first hour
    rain = pl.when(pl.col("rain_1h") <= MOST_RAIN).then("rain_1h")
    return (
        raw.with_columns(is_holiday=pl.col("holiday").is_not_null().any().over(day).cast(pl.Int8), rain_1h=rain)
        .unique("date_time", keep="first")
        .filter(pl.col("date_time") >= FIRST)
        .sort("date_time")
        .select(
            pl.col("date_time").dt.strftime("%Y-%m-%d %H:%M").alias("time"),
            pl.col("traffic_volume").cast(pl.Int32),
            "is_holiday",
            pl.col("temp", "rain_1h", "snow_1h").round(2),
            pl.col("clouds_all").cast(pl.Int8),
        )
    )


def main() -> None:
    table = prepare(Path(sys.argv[1]))
    target = Path(__file__).with_name("metro_traffic.csv.gz")
    target.write_bytes(gzip.compress(table.write_csv().encode(), compresslevel=9, mtime=0))
    print(f"{len(table):,} rows written to {target}")  # noqa: T201 - a script speaks to its user


if __name__ == "__main__":
    main()
