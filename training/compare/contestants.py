"""The cells that are compared, each in a fit of its own that differs in nothing else. They take turns, step by step."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from training.config import FitConfig
from training.dataset import Panel, Split
from training.errors import InputError
from training.loop import Fit, Progress

TITLES = {
    "gru": "GRU (Cho et al.)",
    "gru-reset-after": "GRU, reset after",
    "lstm": "LSTM",
    "rnn": "plain tanh RNN",
}


@dataclass(slots=True)
class Contestant:
    """A cell with its fit: `step_seconds` of every optimiser step that no validation followed, and by step of a validation
    its loss and the seconds that the fit had taken by then, validations included.
    """

    cell: str
    seed: int
    fit: Fit
    seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)
    validated_at: dict[int, float] = field(default_factory=dict)

    @property
    def best_step(self) -> int:
        """The step of the best validation."""
        return min(self.validation, key=self.validation.__getitem__)

    @property
    def step_ms(self) -> float:
        """The median time of an optimiser step."""
        return 1e3 * statistics.median(self.step_seconds)

    def move(self, turn: Iterator[Progress]) -> None:
        """One step of the fit; raises InputError when it has diverged."""
        began = time.perf_counter()
        progress = next(turn)
        taken = time.perf_counter() - began
        self.seconds += taken
        if not math.isfinite(progress.loss):
            raise InputError(
                f"the loss of {self.cell} is {progress.loss} at step {progress.step}; lower --learning-rate"
            )
        if progress.validation is None:
            self.step_seconds.append(taken)
            return
        self.validation[progress.step] = progress.validation
        self.validated_at[progress.step] = self.seconds


def contestants(panel: Panel, split: Split, config: FitConfig, seed: int) -> list[Contestant]:
    """All cells at their first step: as many steps for each, and no early stop."""
    equal = {"seed": seed, "budget": None, "ensemble": 1, "patience": config.steps}
    fits = {cell: Fit(panel, split, config.model_copy(update=equal | {"cell": cell})) for cell in TITLES}
    return [Contestant(cell, seed, fit) for cell, fit in fits.items()]


def learn(competing: Sequence[Contestant]) -> Iterator[int]:
    """Let them take turns until all have come to their last step; yields the steps after which all were validated."""
    turns = [iter(one.fit) for one in competing]
    while any(one.fit.done < 1 for one in competing):
        for one, turn in zip(competing, turns, strict=True):
            one.move(turn)
        step = competing[0].fit.step
        if step in competing[0].validation:
            yield step
