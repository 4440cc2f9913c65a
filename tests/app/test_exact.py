"""A real forecaster gives a session the same bits whoever shares its batch and however its observations were cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from app.engine.runtime import open_model
from app.engine.selftest import self_test
from model.architecture import Architecture
from model.contract import Covariate
from model.export import export
from model.forecaster import Forecaster

ROWS, HISTORY, HOUR = 64, 200, 3600


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    made = Forecaster(
        Architecture(
            frequency=HOUR,
            horizon=24,
            quantiles=(0.1, 0.5, 0.9),
            channels=("y",),
            seasons=(24, 168),
            cycles=((86400, 4),),
            covariates=(Covariate("rain"), Covariate("holiday", known_ahead=True)),
        )
    )
    directory = tmp_path_factory.mktemp("models") / "exact" / "1"
    directory.mkdir(parents=True)
    export(made.eval(), directory, name="exact", version="1", created_at="2026-01-01", training={})
    return open_model(directory, "cpu", "auto")


@pytest.fixture(scope="module")
def observed(model):
    random = np.random.default_rng(0)
    values = random.uniform(1, 5000, (ROWS, HISTORY, 1)).astype(np.float32)
    values[random.random(values.shape) < 0.05] = np.nan
    time = np.tile(1_700_000_000 // HOUR * HOUR + HOUR * np.arange(HISTORY), (ROWS, 1))
    covariates = random.standard_normal((ROWS, HISTORY, 2)).astype(np.float32)
    future = random.standard_normal((ROWS, 24, 1)).astype(np.float32)
    return values, time, covariates, future


def test_the_self_test_finds_it_exact(model):
    assert self_test(model)


def test_a_row_has_the_same_bits_in_any_company(model, observed):
    values, time, covariates, future = observed
    state, _ = model.encode(values[:, :-1], time[:, :-1], covariates[:, :-1], model.fresh(ROWS))
    one = slice(HISTORY - 1, HISTORY)
    states, surprise = model.encode(values[:, one], time[:, one], covariates[:, one], state)
    quantiles = model.decode(states, time[:, -1], future)
    random = np.random.default_rng(1)
    for _ in range(100):
        rows = random.permutation(ROWS)[: random.integers(1, ROWS)]
        found, its = model.encode(values[rows, one], time[rows, one], covariates[rows, one], state[rows])
        assert np.array_equal(found, states[rows], equal_nan=True)
        assert np.array_equal(its, surprise[rows], equal_nan=True)
        assert np.array_equal(model.decode(found, time[rows, -1], future[rows]), quantiles[rows])


def test_any_cut_of_a_sequence_ends_in_the_same_bits(model, observed):
    values, time, covariates, _ = observed
    whole, surprise = model.encode(values, time, covariates, model.fresh(ROWS))
    random = np.random.default_rng(2)
    for _ in range(5):
        cuts = [0, *sorted(random.choice(np.arange(1, HISTORY), 12, replace=False)), HISTORY]
        state, found = model.fresh(ROWS), []
        for begin, end in itertools.pairwise(cuts):
            part = slice(begin, end)
            state, its = model.encode(values[:, part], time[:, part], covariates[:, part], state)
            found.append(its)
        assert np.array_equal(state, whole, equal_nan=True)
        assert np.array_equal(np.concatenate(found, 1), surprise, equal_nan=True)
