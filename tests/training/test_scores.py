"""Metrics are what their definitions say, summed as forecasts come and forgotten at once."""

import numpy as np
import pytest

from training import baselines
from training.evaluate import OURS, Backtest, Scored, score
from training.metrics import _overall
from training.scores import Sums, band_coverage, bands, coverage, main_band, wql

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
nan = np.nan


def truths(n=400, H=3, C=2, seed=0):
    values = np.random.default_rng(seed).normal(5, 2, (n, H, C)).astype(np.float32)
    values[np.random.default_rng(seed + 1).random(values.shape) < 0.1] = nan
    return values


def scored(truth, quantiles, *, parts=1):
    """Sums over forecasts of two series that take turns, added in parts."""
    n, H, C, Q = quantiles.shape
    found = Scored.zeros(H, 2 * C, Q)
    for rows in np.array_split(np.arange(n), parts):
        score(found, rows % 2, truth[rows], quantiles[rows], LEVELS)
    return found


def spread(points):
    return np.repeat(points[..., None], len(LEVELS), axis=-1)


def overall(found):
    return _overall(Backtest(LEVELS, {OURS: found}, np.ones(4), 1, 24, OURS), found)


def test_perfect_forecasts_score_zero_and_cover_everything():
    truth = truths()
    found = overall(scored(truth, spread(truth)))
    assert [found[name] for name in ("wql", "mase", "smape", "mae", "rmse")] == [0] * 5
    assert found["coverage"] == 1
    assert found["coverage_by_level"] == [1] * 5
    assert found["scored"] == np.isfinite(truth).sum()


def test_metrics_are_those_of_a_plain_computation():
    truth = truths()
    quantiles = np.sort(np.random.default_rng(5).normal(5, 2, (*truth.shape, len(LEVELS))), axis=-1).astype(np.float32)
    y, q = truth[np.isfinite(truth)], quantiles[np.isfinite(truth)]
    losses = [np.sum(np.where(y >= v, p * (y - v), (1 - p) * (v - y))) for p, v in zip(LEVELS, q.T, strict=True)]
    e = np.abs(y - q[:, 2])
    found = overall(scored(truth, quantiles))
    assert found["wql"] == pytest.approx(np.mean([2 * loss / np.sum(np.abs(y)) for loss in losses]), rel=1e-5)
    assert found["mae"] == pytest.approx(e.mean(), rel=1e-5)
    assert found["rmse"] == pytest.approx(np.sqrt((e**2).mean()), rel=1e-5)
    assert found["smape"] == pytest.approx(np.mean(200 * e / (np.abs(y) + np.abs(q[:, 2]))), rel=1e-5)
    assert found["coverage"] == pytest.approx(np.mean((q[:, 0] <= y) & (y <= q[:, 4])), rel=1e-5)
    assert found["bands"][0]["width"] == pytest.approx(np.mean(q[:, 4] - q[:, 0]), rel=1e-5)


def test_sums_do_not_depend_on_how_the_forecasts_come():
    truth = truths()
    quantiles = np.sort(np.random.default_rng(5).normal(5, 2, (*truth.shape, len(LEVELS))), axis=-1).astype(np.float32)
    whole, parts = scored(truth, quantiles), scored(truth, quantiles, parts=37)
    for name in Sums.__slots__:
        np.testing.assert_allclose(getattr(parts.by_horizon, name), getattr(whole.by_horizon, name))
        np.testing.assert_allclose(getattr(parts.by_series, name).sum(0), getattr(whole.by_horizon, name).sum(0))


def test_each_step_ahead_and_each_series_has_its_own_score():
    truth = np.full((10, 3, 2), 10, np.float32)
    points = truth + np.array([0, 1, 2], np.float32)[:, None]  # the farther, the worse
    points[1::2, :, 1] += 4  # the second channel of the second series
    found = scored(truth, spread(points))
    np.testing.assert_allclose(wql(found.by_horizon), [0.1, 0.2, 0.3])
    np.testing.assert_allclose(wql(found.by_series), [0.1, 0.1, 0.1, 0.5])


def test_coverage_of_known_quantiles_is_the_level():
    truth = np.linspace(0, 1, 10_001)
    sums = Sums.zeros(1, len(LEVELS))
    sums.add(np.zeros(len(truth), int), truth, np.tile(LEVELS, (len(truth), 1)), np.array(LEVELS), 2)
    np.testing.assert_allclose(coverage(sums)[0], LEVELS, atol=1e-3)
    np.testing.assert_allclose(band_coverage(sums, 0, 4), 0.8, atol=1e-3)


def test_bands_are_pairs_of_levels_around_the_middle():
    assert bands(LEVELS) == [(0, 4), (1, 3)]
    assert main_band(LEVELS) == (0, 4)
    assert main_band((0.05, 0.1, 0.5, 0.9, 0.95)) == (1, 3)
    assert main_band((0.25, 0.5, 0.75)) == (0, 2)
    assert main_band((0.5,)) is None


def test_nothing_known_is_no_score():
    truth = np.full((4, 3, 2), nan, np.float32)
    found = overall(scored(truth, spread(np.ones_like(truth))))
    assert found["wql"] is None
    assert found["mase"] is None
    assert found["coverage"] is None


def plain_seasonal_naive(past, horizon, season):
    """What a person would do by hand, one value at a time."""
    said = []
    for h in range(1, horizon + 1):
        place = len(past) - 1 + h
        while place >= len(past):
            place -= season
        tries = [past[i] for i in (place, place - season) if i >= 0]
        known = [value for value in tries if not np.isnan(value)]
        said.append(known[0] if known else [value for value in past if not np.isnan(value)][-1])
    return said


@pytest.mark.parametrize(("season", "horizon"), [(24, 6), (24, 60), (5, 12), (150, 12)])
def test_seasonal_naive_is_the_value_a_season_ago_or_two_or_the_last_one(season, horizon):
    random = np.random.default_rng(2)
    values = random.normal(size=(300, 1)).astype(np.float32)
    values[random.random(300) < 0.4] = nan
    values[100] = 1.0  # so that each of the two series begins with something
    values[0] = 1.0
    first, origin = np.array([0, 0, 100, 100]), np.array([90, 99, 220, 299 - horizon])
    filled = np.concatenate([baselines.fill_forward(values[:100]), baselines.fill_forward(values[100:])])
    said = baselines.seasonal_naive(values, filled, first, origin, horizon, season)
    for i in range(4):
        past = values[first[i] : origin[i] + 1, 0]
        np.testing.assert_array_equal(said[i, :, 0], plain_seasonal_naive(past, horizon, season))
    np.testing.assert_array_equal(baselines.naive(filled, origin, 2)[:, 1, 0], filled[origin, 0])


def test_values_are_filled_forward_by_channel():
    values = np.array([[nan, 1], [2, nan], [nan, nan], [3, 4]], np.float32)
    np.testing.assert_array_equal(baselines.fill_forward(values), [[nan, 1], [2, 1], [2, 1], [3, 4]])


def test_the_unit_of_mase_is_the_mean_change_over_a_season():
    past = np.array([[1, nan], [5, nan], [2, 3], [9, nan]], np.float32)
    np.testing.assert_array_equal(baselines.seasonal_scale(past, 2), [2.5, nan])
