"""The adding problem, which shows what gates buy: how far back a cell can learn to remember.

Hochreiter & Schmidhuber 1997 (https://doi.org/10.1162/neco.1997.9.8.1735), experiment 4, in the form of Le et al. 2015
(https://arxiv.org/abs/1504.00941): each step of a sequence has a value drawn from [0, 1] and a mark, which is 1 at one step of
the first half and at one of the second, else 0. After the last step the sum of the two marked values is asked for. Whoever
always answers 1 has a squared error of 1/6, the variance of that sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.cells import CELLS

LENGTHS = (50, 100, 200, 500)
UNITS, BATCH, LEARNING_RATE, CLIP = 32, 32, 1e-2, 1.0
HELD_OUT, EVALUATE_EVERY = 256, 25
BASELINE = 1 / 6
SOLVED, STOP = (
    0.01,
    0.001,
)  # squared errors: below the first a length counts as solved, below the second nothing is to gain


@dataclass(slots=True)
class Attempt:
    """A cell at a length: its squared error on held-out sequences by optimiser step."""

    cell: str
    length: int
    error: dict[int, float] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The lowest error."""
        return min(self.error.values())

    @property
    def solved_at(self) -> int | None:
        """The step at which the error was first below a hundredth, if ever."""
        return next((step for step, error in self.error.items() if error < SOLVED), None)


class Adder(nn.Module):
    """A cell whose last output is read as a number."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.cell, self.head = CELLS[cell](2, UNITS), nn.Linear(UNITS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Sums (B,) of sequences (T, B, 2)."""
        sums: Tensor = self.head(self.cell(x)[-1])[:, 0]
        return sums


def sequences(length: int, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random sequences (T, B, 2) of values and marks, and the sums (B,) of the marked values."""
    values, marks, half = torch.rand(length, count, generator=random), torch.zeros(length, count), length // 2
    for begin, end in ((0, half), (half, length)):
        marks.scatter_(0, torch.randint(begin, end, (1, count), generator=random), 1.0)
    return torch.stack([values, marks], 2), (values * marks).sum(0)


def attempt(cell: str, length: int, steps: int, seed: int) -> Attempt:
    """Train a cell for so many steps, or until it has nothing to gain; all cells see the same sequences."""
    found = Attempt(cell, length)
    for step, error in _errors(cell, length, seed):
        found.error[step] = error
        if step >= steps or error < STOP:
            break
    return found


def _errors(cell: str, length: int, seed: int) -> Iterator[tuple[int, float]]:
    """The held-out error every few steps, without end."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    held_out = sequences(length, HELD_OUT, random)
    adder = Adder(cell)
    optimiser = torch.optim.Adam(adder.parameters(), LEARNING_RATE)
    step = 0
    while True:
        for _ in range(EVALUATE_EVERY):
            x, sums = sequences(length, BATCH, random)
            optimiser.zero_grad()
            functional.mse_loss(adder(x), sums).backward()
            nn.utils.clip_grad_norm_(adder.parameters(), CLIP)
            optimiser.step()
        step += EVALUATE_EVERY
        with torch.no_grad():
            yield step, float(functional.mse_loss(adder(held_out[0]), held_out[1]))
