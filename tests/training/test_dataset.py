"""A file becomes series on a regular grid, or one line that says what is wrong and where."""

import gzip
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from model.contract import Covariate
from training.categories import settled
from training.dataset import Columns, Split, read_panel, split_panel
from training.errors import InputError
from training.times import parse_time

PLAIN = Columns("time", ("y",))
nan = np.nan


def write(path, *lines):
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def hours(count, start="2018-01-01"):
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return [f"{first + timedelta(hours=i):%Y-%m-%d %H:%M}" for i in range(count)]


@pytest.fixture
def lines():
    """A day of hours: line 1 is the header, line 2 the first hour."""
    return ["time,y,x", *(f"{time},{i},{i % 2}" for i, time in enumerate(hours(24)))]


@pytest.fixture
def complaint(tmp_path):
    """Reads lines of a CSV file and returns the one line that is said about them."""

    def read(lines, columns=PLAIN, frequency=None):
        path = write(tmp_path / "data.csv", *lines)
        with pytest.raises(InputError) as refused:
            read_panel(path, columns, frequency)
        text = str(refused.value)
        assert "\n" not in text
        assert text.startswith(f"{path}: ")
        return text.removeprefix(f"{path}: ")

    return read


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "data.parquet"])
def test_all_kinds_of_files_hold_the_same_series(name, tmp_path, lines):
    path = write(tmp_path / name, *lines) if ".csv" in name else tmp_path / name
    if name == "data.parquet":
        times = [datetime.fromisoformat(time) for time in hours(24)]
        pl.DataFrame({"time": times, "y": range(24), "x": [i % 2 == 1 for i in range(24)]}).write_parquet(path)
    panel = read_panel(path, Columns("time", ("y",), covariates=(Covariate("x", known_ahead=True),)))
    series = panel.series[0]
    assert (panel.frequency, panel.filled, len(panel)) == (3600, 0, 24)
    assert (series.id, series.start) == ("data", parse_time("2018-01-01"))
    np.testing.assert_array_equal(series.values[:, 0], np.arange(24))
    np.testing.assert_array_equal(series.covariates[:, 0], np.arange(24) % 2)
    assert series.values.dtype == series.covariates.dtype == np.float32


def test_gaps_become_missing_values_and_are_counted(tmp_path, lines):
    del lines[5:8]
    panel = read_panel(write(tmp_path / "data.csv", *lines), PLAIN)
    assert panel.filled == 3
    np.testing.assert_array_equal(panel.series[0].values[2:9, 0], [2, 3, nan, nan, nan, 7, 8])


@pytest.mark.parametrize("word", ["", "NaN", "null", " ", "NA"])
def test_empty_cells_are_missing_values(word, tmp_path, lines):
    lines[3] = lines[3].replace(",2,", f",{word},")
    panel = read_panel(write(tmp_path / "data.csv", *lines), PLAIN)
    np.testing.assert_array_equal(panel.series[0].values[1:4, 0], [1, nan, 3])
    assert panel.filled == 0


def test_rows_may_come_in_any_order_and_empty_lines_do_not_count(tmp_path, lines):
    panel = read_panel(write(tmp_path / "data.csv", lines[0], *reversed(lines[1:]), "", ""), PLAIN)
    np.testing.assert_array_equal(panel.series[0].values[:, 0], np.arange(24))


@pytest.mark.parametrize("separator", [";", "\t"])
def test_the_header_tells_the_separator(separator, tmp_path, lines):
    panel = read_panel(write(tmp_path / "data.csv", *(line.replace(",", separator) for line in lines)), PLAIN)
    assert len(panel) == 24


def test_series_of_a_long_table_keep_their_own_starts(tmp_path):
    early = [f"b,{time},{i},0" for i, time in enumerate(hours(10))]
    late = [f"a,{time},{i},1" for i, time in enumerate(hours(5, "2018-01-01 03:00"))]
    path = write(tmp_path / "data.csv", "id,time,y,x", *early, *late)
    panel = read_panel(path, Columns("time", ("y", "x"), series="id"))
    assert [(one.id, one.start, one.values.shape) for one in panel.series] == [
        ("a", parse_time("2018-01-01 03:00"), (5, 2)),
        ("b", parse_time("2018-01-01"), (10, 2)),
    ]


def test_a_missing_column_is_named_with_the_one_that_was_meant(complaint, lines):
    assert complaint(lines, Columns("tine", ("y",))) == "column 'tine' is not in the file; did you mean 'time'?"
    assert complaint(lines, Columns("time", ("load",))).endswith("there are time, y, x")


def test_an_unparsable_time_is_named_with_its_row(complaint, lines):
    lines[5] = "yesterday,4,0"
    assert complaint(lines).startswith("column 'time', row 5 (line 6): 'yesterday' is not a time; write it as")
    lines[5] = ",4,0"
    assert complaint(lines).startswith("column 'time', row 5 (line 6): '' is not a time")


def test_a_repeated_time_is_named_with_both_rows(complaint, lines):
    lines.append(lines[3])
    assert complaint(lines) == (
        "column 'time', row 25 (line 26): 2018-01-01T02:00:00Z repeats the time of row 3 (line 4); "
        "keep one row per time, or name the column of ids with --series"
    )


def test_a_time_off_the_grid_is_named_with_its_row(complaint, lines):
    lines[1] = lines[1].replace("00:00", "00:20")
    assert complaint(lines) == (
        "column 'time', row 1 (line 2): 2018-01-01T00:20:00Z is off the 1h grid of the other rows; correct or remove it"
    )


@pytest.mark.parametrize(
    ("name", "frequency", "months"), [("months", "30d", 1), ("quarters", "91d", 3), ("years", "365d", 12)]
)
@pytest.mark.parametrize("asked", [None, 30 * 86400, 31 * 86400])
def test_a_calendar_is_told_how_its_rows_can_be_taken(asked, name, frequency, months, complaint):
    dates = [f"{1990 + i * months // 12}-{i * months % 12 + 1:02}-01,{i},0" for i in range(40)]
    assert complaint(["time,y,x", *dates], frequency=asked) == (
        f"column 'time' holds calendar {name}, which are not all of one length; take rows in their order instead: "
        f"leave out --time, give --frequency {frequency}, and let no column be called time"
    )


def test_a_column_that_is_there_twice_is_refused_where_it_is_asked_for(complaint, lines, tmp_path):
    lines[0] = "time,y,y"
    assert complaint(lines) == "column 'y' is in the file twice; rename or remove one"
    path = write(tmp_path / "data.csv", "time,y,x,x", *(f"{line},0" for line in lines[1:]))
    assert len(read_panel(path, Columns("time", ("y",))).series) == 1


def test_a_time_years_away_is_taken_for_a_mistake(complaint, lines):
    lines[-1] = lines[-1].replace("2018", "2081")
    assert "row 24 (line 25): 2081-01-01T23:00:00Z comes 23011d after the time before it" in complaint(lines)


@pytest.mark.parametrize("frequency", [1800, 7200])
def test_another_frequency_than_the_data_have_is_refused(frequency, complaint, lines):
    assert complaint(lines, frequency=frequency).startswith(
        "column 'time' is mostly 1h from row to row, not --frequency"
    )
    assert complaint(lines, frequency=frequency).endswith("; give 1h")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("twelve", "is not a number"),
        ("inf", "is not a finite"),
        ("1e39", "is not a finite"),
        ("1_0", "is not a number"),
    ],
)
def test_a_target_that_is_no_finite_number_is_named_with_its_row(word, reason, complaint, lines):
    lines[12] = f"{hours(12)[-1]},{word},0"
    assert complaint(lines).startswith(f"column 'y', row 12 (line 13): {word!r} {reason}")


def test_a_target_without_any_value_is_refused(complaint, lines):
    assert complaint([line.rsplit(",", 1)[0] + "," for line in lines[:1]] + [f"{t},," for t in hours(5)]).endswith(
        "holds no value at all; name another --target"
    )


def test_a_row_without_the_id_of_its_series_is_refused(complaint, lines):
    lines[4] = lines[4].removesuffix("1")
    assert complaint([*lines[:4], f"{hours(4)[-1]},3,"], Columns("time", ("y",), series="x")).startswith(
        "column 'x', row 4 (line 5): is empty"
    )


def test_rows_of_parquet_files_have_no_header_to_count(tmp_path):
    path = tmp_path / "data.parquet"
    pl.DataFrame({"time": hours(24), "y": [*("1" * 22), "x", "1"]}).write_parquet(path)
    with pytest.raises(InputError, match="column 'y', row 23: 'x' is not a number"):
        read_panel(path, PLAIN)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("data.xlsx", b"", "is none of .csv, .csv.gz, .parquet"),
        ("data.csv", b"", "cannot be read"),
        ("data.csv", b"time,y\n", "has no rows"),
        ("data.csv", b"time,y\n1,2,3\n", "cannot be read"),
        ("data.csv", b"time,y\n1,\xff\n", "cannot be read"),
        ("data.csv.gz", gzip.compress(b"time,y\n1,2\n" * 99)[:40], "cannot be read"),
        ("data.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(name, content, reason, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as refused:
        read_panel(tmp_path / name, PLAIN)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_panel(tmp_path / "data.csv", PLAIN)


@pytest.fixture
def panel(tmp_path):
    """Two series of 100 and 90 hours that end together."""
    rows = [f"a,{time},1" for time in hours(101)] + [f"b,{time},1" for time in hours(91, "2018-01-01 10:00")]
    return read_panel(write(tmp_path / "data.csv", "id,time,y", *rows), Columns("time", ("y",), series="id"))


def test_a_split_is_at_the_same_moments_in_all_series(panel):
    split = split_panel(panel, 5, parse_time("2018-01-03"), parse_time("2018-01-04 00:30"))
    assert split.validate_from == (48, 38)
    assert split.test_from == (73, 63)


def test_a_split_left_out_is_the_last_fifth_and_the_tenth_before_it(panel):
    split = split_panel(panel, 5)
    assert (split.validate_from, split.test_from) == ((70, 60), (80, 70))


@pytest.mark.parametrize(
    "times", [("2018-02-01", "2018-03-01"), ("2018-01-03", "2018-01-02"), ("2017-01-01", "2018-01-03")]
)
def test_a_split_outside_the_data_is_refused(times, panel):
    with pytest.raises(InputError, match="must lie in this order within the data, 2018-01-01"):
        split_panel(panel, 5, *map(parse_time, times))


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_series_shorter_than_a_forecast_in_any_part_is_refused(part, panel):
    fences = {"training": (20, 50), "validation": (50, 60), "test": (50, 95)}[part]
    times = (panel.start + 3600 * hour for hour in fences)
    with pytest.raises(InputError, match=f"series '[ab]' is too short: .* in the {part} part"):
        split_panel(panel, 15, *times)


@pytest.mark.parametrize(("part", "rows"), [("training", 60), ("validation", (60, 80)), ("test", (80, None))])
def test_a_part_without_any_value_is_refused(part, rows, panel):
    for series in panel.series:
        skipped = len(panel.series[0]) - len(series)
        begin, end = (0, rows) if part == "training" else rows
        series.values[max(0, begin - skipped) : None if end is None else end - skipped] = nan
    with pytest.raises(InputError, match=f"in the {part} part"):
        split_panel(panel, 5, panel.start + 60 * 3600, panel.start + 80 * 3600)


def kinds(path, lines, **columns):
    """What becomes of the last column of a file, and with which training part of 15 rows."""
    given = Columns("time", ("y",), covariates=(Covariate("x"),), **columns)
    panel = settled(read_panel(write(path, *lines), given), Split((15,), (20,)))
    return panel.covariates[0].categories, panel.series[0].covariates[:, 0].tolist()


def with_last(lines, words):
    return [lines[0], *(f"{line.rsplit(',', 1)[0]},{word}" for line, word in zip(lines[1:], words, strict=True))]


def test_a_column_of_text_is_of_the_kinds_that_the_training_part_shows(tmp_path, lines):
    words = ["wet", "dry", "none"] * 4 + ["", "rare", "rare"] + ["dry", "rare", "new"] * 3
    categories, numbers = kinds(tmp_path / "data.csv", with_last(lines, words))
    assert categories == ("dry", "none", "wet")
    np.testing.assert_array_equal(numbers, [2, 0, 1] * 4 + [nan, 3, 3] + [0, 3, 3] * 3)


def test_a_column_of_numbers_is_of_kinds_where_that_is_asked(tmp_path, lines):
    words = ["1", "02", "3.0"] * 8
    assert kinds(tmp_path / "data.csv", with_last(lines, words), categories=("x",))[0] == ("1", "2", "3")
    assert kinds(tmp_path / "data.csv", with_last(lines, words))[0] == ()


def test_a_column_with_a_number_in_it_is_not_taken_for_kinds_by_itself(lines, complaint):
    said = complaint(with_last(lines, ["wet"] * 23 + ["7"]), Columns("time", ("y",), covariates=(Covariate("x"),)))
    assert said == "column 'x', row 1 (line 2): 'wet' is not a number; correct it, or leave it empty"


def test_a_column_in_which_every_row_is_of_its_own_kind_is_refused(tmp_path, lines):
    with pytest.raises(
        InputError, match="column 'x' has no category that the training part shows 3 times; leave it out"
    ):
        kinds(tmp_path / "data.csv", with_last(lines, [f"id-{i}" for i in range(24)]))
