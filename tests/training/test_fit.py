"""Fitting: what a window knows is what serving knows, and a run can be repeated and taken up again."""

import copy
import time
from itertools import count

import numpy as np
import pytest
import torch

from model.calibration import Bands
from model.contract import Covariate
from model.serving import Serving
from training.config import FitConfig
from training.dataset import Panel, Series, Split
from training.loop import Fit, cold_sessions, design, hide
from training.options import parse
from training.windows import Windows, run

HOUR, T = 3600, 600


def panel(*, channels=1, signed=False, covariates=0):
    random = np.random.default_rng(3)
    steps = np.arange(T)
    day = 10 + 5 * np.sin(2 * np.pi * steps / 24)
    values = day[:, None] + random.normal(0, 0.5, (T, channels))
    values = values - 10 if signed else values
    values[random.random(T) < 0.05] = np.nan
    known = random.standard_normal((T, covariates))
    series = Series("a", 1_700_000_000 // HOUR * HOUR, values.astype(np.float32), known.astype(np.float32))
    names = tuple(Covariate(f"x{i}", known_ahead=i % 2 == 1) for i in range(covariates))
    return Panel(HOUR, tuple(f"y{i}" for i in range(channels)), names, (series,), 0), Split((400,), (500,))


def config(**choices):
    settings = {"data": "unused.csv", "time": "time", "target": ["y"], "horizon": 6, "units": 8, "window": 96}
    settings |= {"burn_in": 48, "batch": 4, "steps": 4, "quantiles": [0.1, 0.5, 0.9]}
    return FitConfig(**(settings | choices))


@pytest.mark.parametrize("kind", [{}, {"channels": 2, "signed": True}, {"covariates": 2}], ids=str)
def test_a_window_from_a_sessions_start_is_forecast_as_it_would_be_served(kind):
    data, split = panel(**kind)
    fit = Fit(data, split, config())
    windows = Windows(fit.forecaster, cold_sessions(data, split, 96, np.random.default_rng(0)), 96)
    starts, step = windows.starts[:3], 70
    batch = windows.batch(starts, torch.tensor([step]))
    with torch.no_grad():
        trained = run(fit.forecaster, batch).numpy()
    serving = Serving(fit.forecaster)
    rows = starts[:, None] + torch.arange(step + 1)
    covariates = windows.rows["covariates"][rows].numpy() if data.covariates else None
    future = batch.future_covariates.numpy() if data.covariates else None
    with np.errstate(invalid="ignore", divide="ignore"):
        state, _ = serving.encode(
            windows.rows["seen"][rows].numpy(), windows.rows["time"][rows].numpy(), covariates,
            np.zeros((3, serving.size), np.float32),
        )  # fmt: skip
        state[:, serving.layout["correction"].span] = 0  # training knows no corrections
        served = serving.decode(state, batch.origin_time.numpy(), future)
    np.testing.assert_allclose(served.transpose(0, 2, 1, 3).reshape(trained.shape), trained, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    def weights(seed):
        fit = Fit(*panel(), config(seed=seed))
        for _ in fit:
            pass
        return torch.cat([w.flatten() for w in fit.best().parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_a_run_taken_up_again_ends_where_it_would_have():
    whole = Fit(*panel(), config(steps=6))
    for _ in whole:
        pass
    first = iter(part := Fit(*panel(), config(steps=6)))
    for _ in range(3):
        next(first)
    again = Fit(*panel(), config(steps=6))
    again.restore(copy.deepcopy(part.checkpoint()))
    assert [progress.step for progress in again] == [4, 5, 6]
    for ours, theirs in zip(again.averaged.parameters(), whole.averaged.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_windows_begin_with_any_hidden_state_and_sessions_at_their_start_with_none():
    fit, states = Fit(*panel(channels=2), config(steps=8)), []
    fit.forecast.register_forward_pre_hook(lambda _, given: states.append(given[0].start))
    for _ in fit:
        pass
    *warm, cold = states
    assert cold is None
    assert [state.shape for state in warm] == 7 * [(1, 4, 8)]  # layers, channels of two windows, units
    drawn = torch.cat([state.flatten() for state in warm])
    assert len(drawn.unique()) > 200
    assert drawn.min() < -0.9
    assert drawn.max() > 0.9
    assert drawn.abs().max() <= 1


def test_training_lowers_the_validation_loss():
    fit = Fit(*panel(), config(steps=200, learning_rate=5e-3))
    losses = [progress.validation for progress in fit if progress.validation is not None]
    assert len(losses) == 4
    assert 0.0125 < fit.best_loss < 0.016  # the noise alone costs about 0.0125


def test_training_stops_when_the_validation_part_has_had_enough():
    fit = Fit(*panel(), config(steps=2000, patience=0, learning_rate=1e-30))  # too little to move any weight
    assert max(progress.step for progress in fit) == 100


def test_a_series_shorter_than_a_window_is_learned_from_and_judged():
    data, _ = panel()
    short = Series("a", data.series[0].start, data.series[0].values[:80], data.series[0].covariates[:80])
    fit = Fit(Panel(HOUR, ("y0",), (), (short,), 0), Split((56,), (64,)), config(window=336, burn_in=168))
    assert all(progress.loss > 0 and progress.validation != 0 for progress in fit)
    assert 0 < fit.best_loss < np.inf


def test_a_budget_ends_the_fit_with_a_validation_and_a_low_rate():
    fit = Fit(*panel(), config(steps=100_000, budget="60s"), clock=count().__next__)  # every step takes a second
    course = list(fit)
    assert [progress.step for progress in course] == list(range(1, 61))
    assert course[-1].steps == 60
    assert [progress.step for progress in course if progress.validation is not None] == [50, 60]
    assert course[-1].learning_rate < 0.1 * max(progress.learning_rate for progress in course)


def test_a_fit_that_goes_on_has_what_is_left_of_its_budget():
    part = Fit(*panel(), config(steps=100_000, budget="9s"), clock=count().__next__)
    for progress in part:
        if progress.step == 4:
            break
    again = Fit(*panel(), config(steps=100_000, budget="9s"), clock=count(1000).__next__)  # long after
    again.restore(copy.deepcopy(part.checkpoint()))
    assert [progress.step for progress in again] == [5, 6, 7, 8, 9]


def test_a_budget_is_counted_in_real_time():
    began = time.monotonic()
    course = list(Fit(*panel(), config(steps=100_000, budget="1s", patience=1000)))
    assert time.monotonic() - began >= 1
    assert course[-1].step < 100_000


def test_nothing_is_learned_from_the_validation_and_test_parts():
    data, split = panel()
    spoiled = data.series[0].values.copy()
    spoiled[400:] = 1e6
    other = Panel(HOUR, data.channels, (), (Series("a", data.series[0].start, spoiled, data.series[0].covariates),), 0)
    runs = [Fit(data, split, config()), Fit(other, split, config())]
    for fit in runs:
        for _ in fit:
            pass
    for ours, theirs in zip(*(fit.averaged.parameters() for fit in runs), strict=True):
        assert torch.equal(ours, theirs)


def test_signs_and_seasons_are_found_in_the_training_part():
    assert design(*panel(signed=True), config()).signed
    architecture = design(*panel(), config())
    assert not architecture.signed
    assert architecture.seasons == (24,)
    assert design(*panel(), config(seasons=[12])).seasons == (12,)


def test_a_single_series_is_forecast_in_units_of_its_spread_and_several_in_units_of_their_seasonal_change():
    data, split = panel()
    assert not design(data, split, config()).by_change
    assert design(*panel(channels=2), config()).by_change
    two = Panel(HOUR, data.channels, (), data.series * 2, 0)
    assert design(two, Split(split.validate_from * 2, split.test_from * 2), config()).by_change


def test_bands_correct_themselves_unless_they_are_asked_not_to():
    assert design(*panel(), config()).calibrate
    assert not design(*panel(), config(calibrate=False)).calibrate
    request = parse(["fit", "--data", "a.csv", "--target", "y", "--horizon", "1", "--no-calibrate"])
    assert not request.config.calibrate


def test_bands_follow_no_farther_than_covariates_known_ahead_stay_as_they_are():
    def followed(covariate):
        data, split = panel(covariates=2)
        data.series[0].covariates[:, 1] = covariate  # the one that is known ahead
        return Bands.of(design(data, split, config(horizon=24))).ends

    steps = np.arange(T)
    assert followed(np.sin(2 * np.pi * steps / 96)) == (1, 5)
    assert followed(np.random.default_rng(0).standard_normal(T)) == (1,)
    assert followed(steps // 24 % 30 == 0) == (1, 5, 24)  # a holiday a month


def test_hidden_values_are_only_hidden():
    values = np.arange(2000, dtype=np.float32)[:, None]
    seen = hide(values, np.random.default_rng(0))
    missing = np.isnan(seen)
    assert 0.2 < missing.mean() < 0.4  # a fifth of the points, and some days
    np.testing.assert_array_equal(seen[~missing], values[~missing])


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, np.nan], ids=str)
def test_a_series_without_movement_does_not_break_training(value):
    series = Series("a", 0, np.full((T, 1), value, np.float32), np.zeros((T, 0), np.float32))
    fit = Fit(Panel(HOUR, ("y",), (), (series,), 0), Split((400,), (500,)), config())
    assert all(np.isfinite(progress.loss) for progress in fit)
    assert all(torch.isfinite(w).all() for w in fit.averaged.parameters())
