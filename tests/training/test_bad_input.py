"""What cannot be used is refused in one line that names it and the remedy, with exit code 2, and nothing is written."""

import pytest

from tests.training.conftest import rows, start

ASKED = ("--target", "load", "--horizon", "6", "--series", "site")


def refused(tmp_path, lines, *options):
    """The one line said about a file."""
    path = tmp_path / "history.csv"
    path.write_text("\n".join(lines) + "\n")
    program = start("fit", "--data", path, "--out", tmp_path / "models", *(options or ASKED))
    said, complaint = program.communicate(timeout=60)
    assert program.returncode == 2, complaint
    assert said == ""
    assert complaint.count("\n") == 1
    assert "Traceback" not in complaint
    assert sorted(tmp_path.iterdir()) == [path]
    return complaint.removeprefix("python -m training: ").replace(str(path), "FILE").rstrip("\n")


def swapped(lines, row, column, text):
    """The lines with another text in one cell."""
    cells = lines[row].split(",")
    cells[column] = text
    return [*lines[:row], ",".join(cells), *lines[row + 1 :]]


def test_a_missing_column_is_named(tmp_path):
    said = refused(tmp_path, rows(), "--target", "lod", "--horizon", "6", "--series", "site")
    assert said == "FILE: column 'lod' is not in the file; did you mean 'load'?"


def test_an_unparsable_time_is_named_with_its_row(tmp_path):
    said = refused(tmp_path, swapped(rows(), 7, 1, "noon"))
    assert said.startswith("FILE: column 'time', row 7 (line 8): 'noon' is not a time; write it as 2018-05-01 17:00")


def test_a_repeated_time_is_named_with_both_rows(tmp_path):
    lines = rows()
    said = refused(tmp_path, [*lines, lines[5]])
    assert f"row {len(lines)} (line {len(lines) + 1}): 2026-01-01T05:00:00Z repeats the time of row 5 (line 6)" in said
    assert said.endswith("keep one row per time")


def test_a_time_off_the_grid_is_named_with_its_row(tmp_path):
    said = refused(tmp_path, swapped(rows(), 9, 1, "2026-01-01 08:15"))
    assert said.startswith("FILE: column 'time', row 9 (line 10): 2026-01-01T08:15:00Z is off the 1h grid")
    assert said.endswith("correct or remove it")


def test_a_target_that_is_no_number_is_named_with_its_row(tmp_path):
    said = refused(tmp_path, swapped(rows(), 4, 2, "much"))
    assert said == "FILE: column 'load', row 4 (line 5): 'much' is not a number; correct it, or leave it empty"


def test_too_short_a_series_is_named_with_what_it_lacks(tmp_path):
    said = refused(tmp_path, rows(20))
    assert said.startswith("series 'north' is too short: 2 of its 20 steps lie in the validation part")
    assert said.endswith("move --validate-from and --test-from")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--horizont=6", "unknown option '--horizont=6'; did you mean '--horizon'?"),
        ("--bath", "unknown option '--bath'; did you mean '--batch'?"),
        ("--units=many", "--units: input should be a valid integer; got 'many'"),
        ("--cell=mlp", "--cell: input should be 'gru', 'gru-reset-after', 'lstm' or 'rnn'; got 'mlp'"),
        ("--data", "argument --data: expected one argument; python -m training fit --help lists what there is"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(option, said, tmp_path):
    assert refused(tmp_path, rows(), *ASKED, option) == said
