"""One set, run: every rival and every seed of ours, and what they score."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from model.export import export
from tests.benchmarks.accuracy.forecasts import Forecasts, latency, seasonal_naive, served
from tests.benchmarks.accuracy.protocols import judge
from tests.benchmarks.accuracy.sets import Protocol
from training.config import FitConfig
from training.loop import Fit

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Run:
    """Scores of one method; `cpu_seconds` of its training and `microseconds` of one observation and forecast, where known."""

    method: str
    scores: Mapping[str, float]
    cpu_seconds: float | None = None
    microseconds: float | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trained:
    """A forecaster fitted with one seed: what it scored, and its forecasts, for an ensemble and for plots."""

    run: Run
    forecasts: list[Forecasts]


def naive(protocol: Protocol) -> Run:
    """The seasonal naive forecast."""
    return Run("seasonal naive", judge(protocol, seasonal_naive(protocol, LEVELS), LEVELS))


def train(protocol: Protocol, seed: int, *, steps: int | None = None) -> Trained:
    """Fit, export, and judge what the exported graphs forecast."""
    choices = dict(protocol.recipe) | ({} if steps is None else {"steps": steps})
    config = FitConfig(
        data=Path(protocol.name), target=list(protocol.panel.channels), horizon=protocol.horizon, seed=seed, **choices
    )
    began = time.process_time()
    fit = Fit(protocol.panel, protocol.split, config)
    for _ in fit:
        pass
    seconds = time.process_time() - began
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        bundle = export(fit.best(), directory, name="benchmark", version="1", created_at="", training={})
        forecasts = list(served(protocol, directory))
        took = latency(protocol, directory)
    notes = {"seed": seed, "steps": fit.step, "parameters": bundle.parameters, "state": bundle.state_size}
    run = Run(f"Tidegate, seed {seed}", judge(protocol, forecasts, LEVELS), seconds, took, notes)
    return Trained(run, forecasts)


def thinned(protocol: Protocol, member: Trained) -> Run:
    """The same forecaster, judged from every H-th origin alone, as other packages are."""
    sparse = protocol.sparse()
    every = sparse.stride // protocol.stride
    forecasts = [replace(one, truth=one.truth[::every], quantiles=one.quantiles[::every]) for one in member.forecasts]
    return replace(member.run, scores=judge(sparse, forecasts, LEVELS))


def ensemble(protocol: Protocol, members: list[Trained]) -> Run:
    """The mean of the members' quantiles."""
    together = zip(*(member.forecasts for member in members), strict=True)
    seconds = sum(member.run.cpu_seconds or 0 for member in members)
    return Run(f"Tidegate, {len(members)} members", judge(protocol, _means(together), LEVELS), seconds)


def summary(runs: Iterable[Run]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of every score over runs that differ in their seed alone; one run spreads by 0."""
    found = [run.scores for run in runs]
    columns = {name: [scores[name] for scores in found] for name in found[0]}
    return {
        name: (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
        for name, values in columns.items()
    }


def _means(together: Iterable[tuple[Forecasts, ...]]) -> Iterator[Forecasts]:
    for forecasts in together:
        quantiles = np.mean([forecast.quantiles for forecast in forecasts], axis=0)
        yield Forecasts(forecasts[0].series, forecasts[0].truth, quantiles)
