"""Seasons come from the frequency and from what the data show beside it."""

import numpy as np
import pytest

from tests.training.conftest import ROOT
from training.clock import Kind
from training.config import read_config
from training.data import read
from training.dataset import Panel, Series, Split
from training.errors import InputError
from training.periods import periods
from training.seasons import default_seasons, expected_seasons

HOUR, T = 3600, 3000
STEPS = np.arange(T)


def noise(seed=0, size=T):
    return np.random.default_rng(seed).normal(size=size)


def wave(period, size=1.0):
    return size * np.sin(2 * np.pi * STEPS / period)


def seasons(*rows, frequency=HOUR, asked=None, clock=Kind.TIMES):
    series = [
        Series(str(i), 0, np.float32(row)[:, None], np.zeros((len(row), 0), np.float32)) for i, row in enumerate(rows)
    ]
    fences = tuple(len(row) * 9 // 10 for row in rows)
    return expected_seasons(Panel(frequency, ("y",), (), tuple(series), 0, clock), Split(fences, fences), asked)


@pytest.mark.parametrize(
    ("frequency", "steps", "expected"),
    [(HOUR, T, (24, 168)), (HOUR, 200, (24,)), (900, T, (96, 672)), (86400, T, (7, 365)), (60, 9000, (60,)),
     (2_629_800, 100, (12,)), (10, 10_000, (360,)), (1, 10_000, ())],
)  # fmt: skip
def test_a_frequency_has_its_natural_seasons(frequency, steps, expected):
    assert default_seasons(frequency, steps) == expected


def test_what_the_data_show_beside_the_natural_seasons_is_added_and_said():
    found = seasons(wave(24, 5) + wave(91, 2) + noise())
    assert found.steps == (24, 91, 168)
    assert str(found) == "seasons: 24, 168 from the frequency, 91 found in the data"


def test_natural_seasons_stay_where_the_data_do_not_show_them_and_nothing_is_added():
    for row in (noise(), noise().cumsum(), np.ones(T), wave(24) + wave(12) + 0.1 * noise()):
        assert str(seasons(row)) == "seasons: 24, 168 from the frequency"


def test_the_shipped_data_show_their_natural_seasons_and_no_others(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = read_config(ROOT / "configs/metro.toml", {})
    data = read(config)
    assert expected_seasons(data.panel, data.split).steps == (24, 168)
    values = data.panel.series[0].values[: data.split.validate_from[0], 0]
    assert list(periods(values, (), 1344, 3)) == [24, 168]


def test_series_without_natural_seasons_get_those_of_the_data():
    row = np.where(STEPS % 7 == 0, 3.0, 0.0) + 0.5 * noise()
    assert seasons(row, frequency=1, clock=Kind.ORDER).steps == (7,)


def test_seasons_that_are_asked_for_are_all_there_are():
    row = wave(91) + 0.1 * noise()
    assert seasons(row, asked=(5,)).steps == (5,)
    assert str(seasons(row, asked=())) == "seasons: none, as asked"


def test_a_season_that_the_training_part_cannot_show_is_refused():
    row = noise()
    assert seasons(row, asked=(T * 9 // 10 - 1,)).steps == (T * 9 // 10 - 1,)
    with pytest.raises(InputError, match="season 2700 does not come twice in the 2700 steps of the training part"):
        seasons(row, asked=(24, T * 9 // 10))


def test_half_of_the_series_must_show_a_period():
    showing, others = [wave(30, 3) + noise(i) for i in range(4)], [noise(i) for i in range(5)]
    assert seasons(*showing, *others[:4], frequency=1).steps == (30,)
    assert seasons(*showing, *others, frequency=1).steps == ()


def test_only_the_training_part_is_looked_at():
    row = noise()
    row[T * 9 // 10 :] += wave(10, 50)[T * 9 // 10 :]
    assert seasons(row, frequency=1).steps == ()


@pytest.mark.parametrize("spoil", ["gaps", "trend", "spikes", "walk"])
def test_a_period_is_found_through(spoil):
    row = wave(30, 3) + noise()
    if spoil == "gaps":
        row[noise(1) > 0.5] = np.nan
    if spoil == "trend":
        row += STEPS / 20
    if spoil == "spikes":
        row[np.random.default_rng(3).integers(T, size=12)] += 500
    if spoil == "walk":
        row += 0.3 * noise(2).cumsum()
    assert list(periods(np.float32(row), (), 1344, 2)) == [30]


def test_noise_and_walks_seldom_show_a_period():
    short = [noise(i, 200).cumsum() if i % 2 else noise(i, 200) for i in range(200)]
    assert sum(bool(list(periods(np.float32(row), (), 1344, 2))) for row in short) <= 8
