"""Fitting an ensemble: one member after the other, each with a seed of its own, as one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from model.ensemble import AnyForecaster, Ensemble
from model.forecaster import Forecaster
from training.config import FitConfig
from training.dataset import Panel, Split
from training.loop import Fit, Progress
from training.team import ALONE, Team


class EnsembleFit:
    """As `Fit`, for `config.ensemble` members. Steps and patience are each member's, a budget is for all of them.

    Only the member that is being fitted holds windows and an optimiser.
    """

    def __init__(self, panel: Panel, split: Split, config: FitConfig, team: Team = ALONE) -> None:
        self.panel, self.split, self.config, self.team = panel, split, config, team
        self.finished: list[Forecaster] = []
        self.steps_before = 0
        self.losses: list[float] = []
        self.current = self._begin(0)

    def __iter__(self) -> Iterator[Progress]:
        while True:
            for progress in self.current:
                after = (self.config.ensemble - len(self.finished) - 1) * self.config.steps
                step, steps = self.steps_before + progress.step, self.steps_before + progress.steps + after
                yield replace(progress, step=step, steps=steps)
            if len(self.finished) == self.config.ensemble - 1:
                return
            self.finished.append(self.current.best())
            self.losses.append(self.current.best_loss)
            self.steps_before += self.current.step
            self.current = self._begin(len(self.finished))

    @property
    def step(self) -> int:
        """Optimiser steps of all members so far."""
        return self.steps_before + self.current.step

    @property
    def stale(self) -> int:
        """Validations of the current member since its best."""
        return self.current.stale

    @property
    def done(self) -> float:
        """How much of the fit lies behind, from 0 to 1."""
        return (len(self.finished) + self.current.done) / self.config.ensemble

    @property
    def best_loss(self) -> float:
        """The mean of the members' best validation losses."""
        losses = [*self.losses, self.current.best_loss]
        return sum(losses) / len(losses)

    def judge(self) -> float:
        """As `Fit.judge`, for the current member."""
        return self.current.judge()

    def best(self) -> AnyForecaster:
        """The members that are there, each as it did best on the validation part."""
        return Ensemble([*self.finished, self.current.best()])

    def checkpoint(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on as if nothing had happened."""
        return {
            "finished": [member.state_dict() for member in self.finished],
            "losses": self.losses,
            "steps_before": self.steps_before,
            "current": self.current.checkpoint(),
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        self.losses, self.steps_before = checkpoint["losses"], checkpoint["steps_before"]
        self.current = self._begin(len(checkpoint["finished"]))
        self.current.restore(checkpoint["current"])
        self.finished = []
        for weights in checkpoint["finished"]:
            member = self.current.best()
            member.load_state_dict(weights)
            self.finished.append(member)

    def _begin(self, member: int) -> Fit:
        budget = self.config.budget and max(1, self.config.budget // self.config.ensemble)
        return Fit(
            self.panel,
            self.split,
            self.config.model_copy(update={"seed": self.config.seed + member, "budget": budget}),
            self.team,
        )


AnyFit = Fit | EnsembleFit


def begin(panel: Panel, split: Split, config: FitConfig, team: Team = ALONE) -> AnyFit:
    """The fit that a configuration asks for, at its first step."""
    return (EnsembleFit if config.ensemble > 1 else Fit)(panel, split, config, team)
