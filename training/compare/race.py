"""Our training kernel of the GRU against `torch.nn.GRU` and `torch.nn.LSTM`, in turn, on two threads."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.cells import GRU

THREADS = 2
ROUNDS, WARM_UP = 40, 5
OURS = "ours"


@dataclass(frozen=True, slots=True)
class Race:
    """Milliseconds forward and backward, in medians; `ratios` are the median over rounds of our time by theirs."""

    steps: int
    batch: int
    inputs: int
    units: int
    threads: int
    milliseconds: dict[str, tuple[float, float]]
    ratios: dict[str, float]


def race(steps: int, batch: int, inputs: int, units: int, rounds: int = ROUNDS) -> Race:
    """Forward and backward over (steps, batch, inputs), all gradients asked for, every runner once in a round."""
    torch.manual_seed(0)
    runners = {OURS: GRU(inputs, units), "torch.nn.GRU": nn.GRU(inputs, units), "torch.nn.LSTM": nn.LSTM(inputs, units)}
    x, gradient = torch.randn(steps, batch, inputs), torch.randn(steps, batch, units)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    threads = min(THREADS, os.cpu_count() or 1)
    with on_threads(threads):
        for _ in range(WARM_UP + rounds):
            for name, runner in runners.items():
                taken[name].append(_run(runner, x, gradient))
    taken = {name: times[WARM_UP:] for name, times in taken.items()}
    medians = {
        name: tuple(1e3 * statistics.median(part) for part in zip(*times, strict=True)) for name, times in taken.items()
    }
    ratios = {
        name: statistics.median(sum(mine) / sum(other) for mine, other in zip(taken[OURS], times, strict=True))
        for name, times in taken.items()
        if name != OURS
    }
    return Race(steps, batch, inputs, units, threads, {n: (m[0], m[1]) for n, m in medians.items()}, ratios)


def _run(
    runner: Callable[[Tensor], Tensor | tuple[Tensor, object]], x: Tensor, gradient: Tensor
) -> tuple[float, float]:
    """Seconds forward and backward."""
    x = x.clone().requires_grad_()
    began = time.perf_counter()
    found = runner(x)
    outputs = found if isinstance(found, Tensor) else found[0]
    turned = time.perf_counter()
    outputs.backward(gradient)
    return turned - began, time.perf_counter() - turned


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """So many threads for torch within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
