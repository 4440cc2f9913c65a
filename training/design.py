"""What a forecaster is before it has learned anything, as its data and a configuration ask for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from model import features
from model.architecture import Architecture
from model.calibration import Bands
from model.forecaster import Forecaster
from training.clock import Kind
from training.config import FitConfig
from training.dataset import Panel, Split
from training.seasons import expected_seasons

UNSTEADY, UNSTEADY_SHARE = 0.5, 0.1  # of a covariate's spread, and of the steps at which it moves by more


def design(panel: Panel, split: Split, config: FitConfig) -> Architecture:
    """The architecture that a panel and a configuration ask for."""
    train = [series.values[:stop] for series, stop in zip(panel.series, split.validate_from, strict=True)]
    longest = max(len(values) for values in train)
    a = Architecture(
        frequency=panel.frequency,
        horizon=config.horizon,
        quantiles=tuple(config.quantiles),
        calibrate=config.calibrate,
        channels=panel.channels,
        covariates=panel.covariates,
        seasons=expected_seasons(panel, split, config.seasons).steps,
        cycles=() if panel.clock is Kind.ORDER else features.usable_cycles(panel.frequency, longest * panel.frequency),
        signed=any((values < 0).any() for values in train),
        by_change=len(panel.series) * len(panel.channels) > 1,
        cell=config.cell,
        layers=config.layers,
        units=config.units,
    )
    return replace(a, steady=_steady(a, panel, split))


def _steady(a: Architecture, panel: Panel, split: Split) -> int:
    """For how many steps covariates known ahead stay within half their spread nine times in ten, of the times that forecasts
    wait for their observations.
    """
    bands = Bands.of(a)
    if bands is None or not a.known_ahead:
        return a.steady
    train = [s.covariates[:stop, a.known_ahead] for s, stop in zip(panel.series, split.validate_from, strict=True)]
    moves = UNSTEADY * np.nanstd(np.concatenate(train), axis=0)
    moves[[bool(panel.covariates[i].categories) for i in a.known_ahead]] = 0  # another kind is always a move
    steady = 0
    for wait in bands.waits[1:]:
        moved = [np.abs(known[wait:] - known[:-wait]) > moves for known in train if len(known) > wait]
        if not moved or (np.concatenate(moved).mean(axis=0) > UNSTEADY_SHARE).any():
            break
        steady = wait
    return steady


def standardise(forecaster: Forecaster, panel: Panel, split: Split) -> None:
    """Give the forecaster the mean and spread that the covariates have in training."""
    if all(one.categories for one in panel.covariates):
        return
    kinds = list(panel.kinds)
    train = np.concatenate([s.covariates[:stop] for s, stop in zip(panel.series, split.validate_from, strict=True)])
    train[:, kinds] = 0  # which are no amounts
    spread = np.nanstd(train, axis=0)
    forecaster.covariate_mean.copy_(torch.from_numpy(np.nanmean(train, axis=0)))
    forecaster.covariate_spread.copy_(torch.from_numpy(np.where(spread > 0, spread, 1.0)))
