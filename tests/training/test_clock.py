"""Series without time stamps: their rows are counted, or have numbers."""

import numpy as np
import pytest

from training.clock import Kind
from training.config import read_config
from training.data import read
from training.dataset import Columns, read_panel, split_panel
from training.errors import InputError
from training.loop import design

HOUR = 3600


def write(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def plain(tmp_path):
    """Two series of 200 and 100 rows, interleaved, without a word about time."""
    rows = [f"{name},{i}" for i in range(200) for name in ("a", "b") if name == "a" or i < 100]
    return write(tmp_path / "data.csv", "id,y", rows)


def test_rows_without_times_follow_each_other_at_the_frequency(plain):
    panel = read_panel(plain, Columns(None, ("y",), series="id"), HOUR)
    assert (panel.clock, panel.frequency, panel.filled) == (Kind.ORDER, HOUR, 0)
    assert [(series.id, series.start, len(series)) for series in panel.series] == [("a", 0, 200), ("b", 0, 100)]
    np.testing.assert_array_equal(panel.series[1].values[:, 0], np.arange(100))


def test_rows_without_times_need_a_frequency(plain):
    with pytest.raises(InputError, match="has no column 'time'; name it with --time, or give --frequency"):
        read_panel(plain, Columns(None, ("y",), series="id"))


def test_row_numbers_tell_gaps_and_phase(tmp_path):
    path = write(tmp_path / "data.csv", "t,y", [f"{t},{t}" for t in range(5, 60) if t not in {20, 21}])
    panel = read_panel(path, Columns("t", ("y",)), HOUR)
    assert (panel.clock, panel.frequency, panel.filled) == (Kind.NUMBERS, HOUR, 2)
    assert panel.series[0].start == 5 * HOUR
    assert np.isnan(panel.series[0].values[15:17]).all()


def test_epoch_seconds_are_no_row_numbers(tmp_path):
    path = write(tmp_path / "data.csv", "time,y", [f"{HOUR * t},{t}" for t in range(50)])
    assert read_panel(path, Columns(None, ("y",)), HOUR).clock is Kind.TIMES
    path = write(tmp_path / "seconds.csv", "time,y", [f"{t},{t}" for t in range(50)])
    assert read_panel(path, Columns(None, ("y",)), 1).clock is Kind.TIMES


def test_without_times_every_series_is_split_by_its_own_length(plain):
    split = split_panel(read_panel(plain, Columns(None, ("y",), series="id"), HOUR), 5)
    assert (split.validate_from, split.test_from) == ((140, 70), (160, 80))


def test_without_times_nothing_is_learned_from_the_calendar(plain):
    config = read_config(None, {"data": str(plain), "target": ["y"], "series": "id", "frequency": "1h", "horizon": 5})
    data = read(config)
    assert design(data.panel, data.split, config).cycles == ()
    assert design(data.panel, data.split, config).seasons == (24,)
