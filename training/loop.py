"""Fitting a forecaster: the loop yields what happened, and its caller decides what to show, keep and stop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.cells import CELLS
from model.forecaster import Forecaster
from training.categories import hidden
from training.config import FitConfig
from training.dataset import Panel, Split
from training.design import design, standardise
from training.errors import InputError
from training.team import ALONE, Team
from training.windows import Batch, Session, Windows, pinball, run

WARM_UP = 50
FINAL_RATE = 0.03
CLIP = 1.0
WEIGHT_DECAY = 0.01
AVERAGING = 0.997  # of weights, exponentially, once there are enough of them
STRIDE = 8  # steps between forecast origins in a window, at the least
ORIGINS_AHEAD = 6  # and this many at the most within a horizon: their forecasts have nearly everything in common
VALIDATE_EVERY = 50
WORSE = 1.003  # times the best validation: from here on a fit goes back to the best weights
SLOWER = 0.5  # and has so much of its learning rate
VALIDATION_WINDOWS, VALIDATION_ROWS = 64, 192  # whichever is more, a row being a channel of a window
COLD_EVERY = 8  # every so many batches are sessions from their very start
COLD_ORIGINS = 16
HIDDEN_SHARE = 0.25  # of windows, drawn from series with values hidden
POINTS_HIDDEN, BLOCKS_HIDDEN = 0.20, 0.10


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fit stands after an optimiser step; `validation` is there only when it was just measured. `steps` is how many
    there will be, a guess where time is what ends them.
    """

    step: int
    steps: int
    loss: float
    validation: float | None
    best: float
    learning_rate: float


class Forecasting(nn.Module):
    """From a batch to its quantiles in one call, which is what a team's gradients are averaged after."""

    def __init__(self, forecaster: Forecaster) -> None:
        super().__init__()
        self.forecaster = forecaster

    def forward(self, batch: Batch) -> Tensor:
        """Forecast quantiles (O·C, H, Q)."""
        return run(self.forecaster, batch)


class Fit:
    """One training run, resumable at any step. Iterating goes on from where it is, to the last step or an early stop.

    The processes of a team make the same one, and go through it together. `clock` tells seconds, which a budget is counted in.
    """

    def __init__(
        self,
        panel: Panel,
        split: Split,
        config: FitConfig,
        team: Team = ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.team, self.clock = config, team, clock
        self.windows = _windows(config, len(panel.channels), team)
        self.random = torch.Generator().manual_seed(config.seed)
        self.forecaster = Forecaster(design(panel, split, config))
        standardise(self.forecaster, panel, split)
        self.averaged = copy.deepcopy(self.forecaster).eval().requires_grad_(requires_grad=False)
        self.best_weights = copy.deepcopy(self.averaged.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.forecaster.parameters(), lr=config.learning_rate, weight_decay=WEIGHT_DECAY
        )
        self.forecast = team.joined(Forecasting(self.forecaster))
        self.levels = torch.tensor(config.quantiles)
        self.step, self.best_loss, self.stale, self.slower = 0, math.inf, 0, 1.0
        self.seconds = 0.0
        self.stride = max(STRIDE, config.horizon // ORIGINS_AHEAD)
        self.window = max(2, min(config.window, max(split.validate_from)))  # no longer than there is to learn from
        self.burn_in = min(config.burn_in, self.window // 2)
        hidden = np.random.default_rng(config.seed)
        self.warm = Windows(self.forecaster, warm_sessions(panel, split, self.burn_in, hidden), self.window)
        self.cold = Windows(self.forecaster, cold_sessions(panel, split, self.window, hidden), self.window)
        self.held_out = Windows(self.forecaster, validation_sessions(panel, split, self.window), self.window)

    def __iter__(self) -> Iterator[Progress]:
        began = self.clock() - self.seconds
        while self.done < 1 and self.stale <= self.config.patience:
            rate = self._set_learning_rate()
            loss = self._learn()
            self.step += 1
            self.seconds = self.clock() - began
            if self.config.budget is not None:
                self.seconds = self.team.first(self.seconds)  # all must end at one step
            due = self.step % VALIDATE_EVERY == 0 or self.done >= 1
            validation = self._validate() if due else None
            steps = max(self.step, math.ceil(self.step / self.done))
            yield Progress(self.step, steps, loss, validation, self.best_loss, rate)

    @property
    def done(self) -> float:
        """How much of the fit lies behind, from 0 to 1: of the steps or of the time, whichever ends it sooner."""
        of_time = 0.0 if self.config.budget is None else self.seconds / self.config.budget
        return min(1.0, max(self.step / self.config.steps, of_time))

    def judge(self) -> float:
        """The validation loss of the weights as they are now, which become the best if they are; for a run that ends here."""
        return self._validate()

    def best(self) -> Forecaster:
        """The averaged weights that did best on the validation part."""
        forecaster = copy.deepcopy(self.averaged)
        forecaster.load_state_dict(self.best_weights)
        return forecaster

    def checkpoint(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on as if nothing had happened."""
        return {
            "forecaster": self.forecaster.state_dict(),
            "averaged": self.averaged.state_dict(),
            "best_weights": self.best_weights,
            "optimiser": self.optimiser.state_dict(),
            "random": self.random.get_state(),
            "progress": (self.step, self.best_loss, self.stale, self.slower, self.seconds),
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        self.forecaster.load_state_dict(checkpoint["forecaster"])
        self.averaged.load_state_dict(checkpoint["averaged"])
        self.best_weights = checkpoint["best_weights"]
        self.optimiser.load_state_dict(checkpoint["optimiser"])
        self.random.set_state(checkpoint["random"])
        self.step, self.best_loss, self.stale, self.slower, self.seconds = checkpoint["progress"]

    def _learn(self) -> float:
        if self.step % COLD_EVERY == COLD_EVERY - 1:
            starts = self.team.share(self.cold.draw(self.windows, self.random))
            batch = self.cold.batch(starts, early_origins(self.window))
        else:
            offset = int(torch.randint(self.stride, (1,), generator=self.random))
            starts = self.team.share(self.warm.draw(self.windows, self.random))
            origins = torch.arange(self.burn_in + offset, self.window, self.stride)
            batch = replace(self.warm.batch(starts, origins), start=self._anything())
        loss = pinball(self.forecast(batch), batch, self.levels) * self._weight(batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.forecaster.parameters(), CLIP)
        self.optimiser.step()
        share = 1 - min(AVERAGING, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.forecaster.parameters()), share)
        return self.team.sum(float(loss.detach())) / self.team.size

    def _anything(self) -> Tensor:
        """A hidden state before each of the process's windows, (layers, B·C, V·N), anywhere between -1 and 1.

        What a session that has lived for years carries, a window cannot know; so the network learns to have forgotten the
        state it began with by its first forecast.
        """
        a = self.forecaster.architecture
        drawn = torch.rand(
            self.windows, a.layers, len(a.channels), CELLS[a.cell].vectors * a.units, generator=self.random
        )
        return 2 * self.team.share(drawn).transpose(0, 1).flatten(1, 2) - 1

    def _weight(self, batch: Batch) -> float:
        """What a process's loss counts in the mean over processes, so that this is the mean over all their observations."""
        observed = int((~torch.isnan(batch.targets)).sum())
        return self.team.size * observed / max(1.0, self.team.sum(observed)) if self.team.size > 1 else 1.0

    def _validate(self) -> float:
        """The validation loss, which decides what the best weights are and how the fit goes on, in all processes alike."""
        loss = self.team.first(self._validation_loss() if self.team.leads else math.nan)
        if loss < self.best_loss:
            self.stale, self.best_loss, self.best_weights = 0, loss, copy.deepcopy(self.averaged.state_dict())
            return loss
        self.stale += 1
        if loss > WORSE * self.best_loss:
            self.slower *= SLOWER
            self.forecaster.load_state_dict(self.best_weights)
            self.averaged.load_state_dict(self.best_weights)
        return loss

    @torch.no_grad()
    def _validation_loss(self) -> float:
        starts = self.held_out.starts
        count = max(VALIDATION_WINDOWS, VALIDATION_ROWS // len(self.forecaster.architecture.channels))
        chosen = starts[torch.linspace(0, len(starts) - 1, min(count, len(starts))).long()]
        origins = torch.arange(self.burn_in, self.window, self.stride)
        batch = self.held_out.batch(chosen, origins)
        return float(pinball(run(self.averaged, batch), batch, self.levels))

    def _set_learning_rate(self) -> float:
        """Linear warm-up, then a cosine down to a few per cent, slower each time that the validation got worse."""
        cosine = FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * self.done)) / 2
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / WARM_UP) * cosine * self.slower
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return float(rate)


def _windows(config: FitConfig, channels: int, team: Team) -> int:
    """Windows in an optimiser step; raises InputError where there is not one for every process."""
    windows = max(1, round(config.batch / channels))
    if windows < team.size:
        raise InputError(
            f"--batch {config.batch} makes {windows} windows of {channels} channels, too few for {team.size} processes; "
            f"give --batch {team.size * channels} or more, or start fewer"
        )
    return windows


def warm_sessions(panel: Panel, split: Split, burn_in: int, random: np.random.Generator) -> list[Session]:
    """Every series from its start to its validation part, as it is and once more with values hidden."""
    sessions = []
    for series, stop in zip(panel.series, split.validate_from, strict=True):
        values = series.values[:stop]
        starts = range(max(1, stop - burn_in))
        sessions.append(Session(series, 0, values, (0, stop), starts, (1 - HIDDEN_SHARE) * stop))
        seen = hide(values, random)
        if panel.kinds:
            unknown = np.isnan(hide(np.zeros((len(series), 1), np.float32), random)[:, 0])
            series = replace(series, covariates=hidden(series.covariates, panel, unknown))  # noqa: PLW2901 - the same one
        sessions.append(Session(series, 0, seen, (0, stop), starts, HIDDEN_SHARE * stop))
    return sessions


def cold_sessions(panel: Panel, split: Split, length: int, random: np.random.Generator) -> list[Session]:
    """Sessions that start anywhere in the series' training parts, so that beginnings are learned too."""
    lengths = np.array(split.validate_from, np.float64)
    sessions = []
    for i in random.choice(len(lengths), 256, p=lengths / lengths.sum()):
        stop = split.validate_from[i]
        first = int(random.integers(0, max(1, stop - length // 2)))
        seen = panel.series[i].values[first : min(stop, first + length)]
        last = min(len(panel.series[i].values), stop) - first
        sessions.append(Session(panel.series[i], first, seen, (0, last), range(1)))
    return sessions


def validation_sessions(panel: Panel, split: Split, length: int) -> list[Session]:
    """Every series from its start to its test part, judged on its validation part."""
    sessions = []
    for series, begin, stop in zip(panel.series, split.validate_from, split.test_from, strict=True):
        starts = range(max(0, begin - length), max(1, stop - length))
        sessions.append(Session(series, 0, series.values[:stop], (begin, stop), starts))
    return sessions


def hide(values: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Values with single points and day-long blocks missing, as live series have them."""
    seen = values.copy()
    seen[random.random(len(seen)) < POINTS_HIDDEN] = np.nan
    block = 24
    for start in np.flatnonzero(random.random(len(seen)) < BLOCKS_HIDDEN / block):
        seen[start : start + int(random.integers(2, 2 * block))] = np.nan
    return seen


def early_origins(length: int) -> Tensor:
    """Steps of a window, dense at its beginning."""
    steps = sorted({round(length ** (i / (COLD_ORIGINS - 1))) for i in range(COLD_ORIGINS)})
    return torch.tensor(steps) - 1
