"""CPU against CUDA for one bundle: are the answers equal, and from how many rows on is the GPU faster?

python -m tests.benchmarks.gpu models/metro/1
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from app.engine.runtime import Model, open_model
from app.engine.selftest import self_test

ROWS = (1, 16, 64, 256, 1024, 4096, 16384)
SECONDS = 0.5


def main(directory: Path, providers: tuple[str, str] = ("cpu", "cuda")) -> None:
    models = [open_model(directory, provider, "auto") for provider in providers]
    print("providers:", *(model.provider for model in models))
    print("self-test bit-exact:", *(self_test(model) for model in models))
    print(
        f"{'rows':>6} {'step: cpu':>12} {'cuda':>9} {'ratio':>6} {'forecast: cpu':>15} {'cuda':>9} {'ratio':>6} {'difference':>10}"
    )
    for rows in ROWS:
        work = observations(models[0], rows)
        states, forecasts = zip(*(run(model, *work) for model in models), strict=True)
        difference = max(relative(*states), relative(*forecasts))
        steps = [seconds(partial(model.encode, *work)) for model in models]
        heads = [seconds(partial(model.decode, states[0], work[1][:, 0], future(model, rows))) for model in models]
        print(f"{rows:6} {compared(steps):>29} {compared(heads):>32} {difference:10.2g}", flush=True)


def observations(model: Model, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One observation for each of `rows` sessions that have seen a history: values, time, covariates, state."""
    random, bundle, steps = np.random.default_rng(rows), model.bundle, 200
    history = random.uniform(1, 100, (1, steps, len(bundle.channels))).astype(np.float32)
    known = random.normal(size=(1, steps, len(bundle.covariates))).astype(np.float32)
    grid = bundle.frequency * (470_000 + np.arange(steps))[None]
    state = np.repeat(model.encode(history, grid, known, model.fresh(1))[0], rows, 0)
    values = random.uniform(1, 100, (rows, 1, len(bundle.channels))).astype(np.float32)
    known = random.normal(size=(rows, 1, len(bundle.covariates))).astype(np.float32)
    return values, np.full((rows, 1), grid[0, -1] + bundle.frequency), known, state


def future(model: Model, rows: int) -> np.ndarray:
    return np.zeros((rows, model.bundle.horizon, len(model.bundle.known_ahead)), np.float32)


def run(model: Model, *work: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    state, _ = model.encode(*work)
    return state, model.decode(state, work[1][:, 0], future(model, len(state)))


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.nanmax(np.abs(ours - theirs)) / np.nanmax(np.abs(theirs)))


def seconds(work: Callable[[], object]) -> float:
    """The median of runs for half a second, after a few to warm up."""
    for _ in range(3):
        work()
    runs, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        runs.append(time.perf_counter() - began)
    return float(np.median(runs))


def compared(pair: list[float]) -> str:
    return f"{pair[0] * 1e6:.0f} us {pair[1] * 1e6:6.0f} us {pair[0] / pair[1]:6.2f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
