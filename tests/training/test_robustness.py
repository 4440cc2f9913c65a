"""What the exported graphs of a fitted forecaster make of series unlike those it learned from."""

import numpy as np
import pytest

from model.export import export
from training.config import FitConfig
from training.dataset import Panel, Series, Split
from training.graphs import Graphs
from training.loop import Fit

HOUR, T, HORIZON, DAY = 3600, 1500, 6, 24
STEPS = 100_000


def day(steps, seed=0):
    """A day's shape around 10, with noise."""
    return 10 + 4 * np.sin(2 * np.pi * np.arange(steps) / DAY) + np.random.default_rng(seed).normal(0, 0.5, steps)


@pytest.fixture(scope="module", params=["positive", "signed"])
def graphs(request, tmp_path_factory):
    values = day(T) - (10 if request.param == "signed" else 0)
    series = Series("a", 0, values.astype(np.float32)[:, None], np.zeros((T, 0), np.float32))
    config = FitConfig(data="unused", target=["y"], horizon=HORIZON, units=16, window=96, burn_in=48, batch=16, steps=150,
                       seasons=[DAY], quantiles=[0.1, 0.5, 0.9], learning_rate=5e-3)  # fmt: skip
    fit = Fit(Panel(HOUR, ("y",), (), (series,), 0), Split((1200,), (1300,)), config)
    for _ in fit:
        pass
    directory = tmp_path_factory.mktemp("bundle")
    return Graphs(directory, export(fit.best(), directory, name="a", version="1", created_at="2026-01-01", training={}))


def after(graphs, values, first=0, state=None):
    """Quantiles (H, Q) after values from step `first` on, and the state there."""
    T = len(values)
    time = HOUR * (first + np.arange(T))[None]
    state = graphs.fresh(1) if state is None else state
    state = graphs.encode(np.float32(values)[None, :, None], time, np.zeros((1, T, 0), np.float32), state)
    return graphs.decode(state, time[:, -1], np.zeros((1, HORIZON, 0), np.float32))[0, :, 0], state


def error(graphs, values, begin, end):
    """The mean absolute error of the median from every origin between two steps."""
    _, state = after(graphs, values[:begin])
    errors = []
    for origin in range(begin, end):
        found, state = after(graphs, values[origin : origin + 1], origin, state)
        errors.append(np.abs(found[:, 1] - values[origin + 1 : origin + 1 + HORIZON]).mean())
    return np.mean(errors)


@pytest.mark.parametrize("level", [0.0, 5.0, -3.0, 1e6, -1e6, 1e-6])
@pytest.mark.parametrize("steps", [1, 10, 500])
def test_a_constant_series_is_expected_to_stay(graphs, level, steps):
    found, _ = after(graphs, np.full(steps, level))
    assert np.abs(found - level).max() <= (0.005 if steps == 500 else 2.0) * abs(level) + 1e-20


def test_nothing_but_missing_values_gives_finite_forecasts(graphs):
    found, _ = after(graphs, np.full(100, np.nan))
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "turn",
    [lambda y: -y, lambda y: y - 10, lambda y: 1e5 * y, lambda y: y + 1e4],
    ids=["negative", "around zero", "huge", "far from zero"],
)
def test_a_series_of_another_scale_or_sign_is_forecast_within_its_range(graphs, turn):
    values = turn(day(800, seed=1))
    spread = values.max() - values.min()
    found, _ = after(graphs, values[: 20 * DAY])
    assert np.isfinite(found).all()
    assert (found > values.min() - spread).all()
    assert (found < values.max() + spread).all()


def test_a_hundred_thousand_steps_do_not_drift(graphs):
    values = day(STEPS, seed=2)
    old, state = after(graphs, values)
    young, _ = after(graphs, values[-40 * DAY :], STEPS - 40 * DAY)
    assert np.isfinite(state).all()
    np.testing.assert_allclose(old[:, 1], young[:, 1], atol=0.1)  # a fifth of the noise
    np.testing.assert_allclose(old, young, atol=0.5)  # corrections of bands remember more than forty days


def test_a_level_that_jumps_tenfold_is_followed_within_two_seasons(graphs):
    values = day(40 * DAY, seed=3)
    jump = 30 * DAY
    jumped = np.where(np.arange(len(values)) >= jump, 10 * values, values)
    begin, end = jump + 2 * DAY, jump + 5 * DAY
    assert error(graphs, jumped, begin, end) / 10 < 2 * error(graphs, values, begin, end)
