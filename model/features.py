"""What the network sees of a series besides its scale, as training computes it. Nothing is learned here.

Rows are (session, channel) pairs: R = B·C. A window (P + T, R) holds the P observations before T steps and those steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

DAY, WEEK, YEAR = 86_400, 604_800, 31_556_952
CYCLES = ((DAY, 4), (WEEK, 3), (YEAR, 2))  # seconds, and how many harmonics
BOUND = 5.0  # of a value in units of spread: beyond it only the anchors see how large it is
GAP_SCALE = 4.0  # steps of gap at which the network is told one half
PHASE_DEPTH = 14


def fill_forward(y: Tensor) -> tuple[Tensor, Tensor]:
    """The newest observation at every step (zero before the first) and the steps since it; y (T, R) to (T, R) each."""
    steps = torch.arange(1, y.shape[0] + 1)[:, None].expand_as(y)
    newest = torch.where(torch.isnan(y), 0, steps).cummax(0).values
    padded = torch.cat([torch.zeros_like(y[:1]), torch.nan_to_num(y)])
    return padded.gather(0, newest), (steps - newest).to(y.dtype)


def normalise(value: Tensor, level: Tensor, spread: Tensor, *, signed: bool) -> Tensor:
    """Values in units of spread, around the level where signed, bounded so that a spike stays a usable number."""
    return ((value - level if signed else value) / spread).clamp(-BOUND, BOUND)


def lagged(window: Tensor, past: int, lags: Sequence[int]) -> Tensor:
    """Observations `lag` steps before each of the steps that follow the first `past` of a window: (T, R, lags)."""
    steps = window.shape[0] - past
    return torch.stack([window[past - lag : past - lag + steps] for lag in lags], 2)


def usable_cycles(frequency: int, span: float) -> tuple[tuple[int, int], ...]:
    """The cycles (period in seconds, harmonics) that a grid can show and that a history of `span` seconds has seen twice."""
    shown = ((period, min(harmonics, period // (2 * frequency))) for period, harmonics in CYCLES)
    return tuple((period, harmonics) for period, harmonics in shown if harmonics >= 1 and span >= 2 * period)


def calendar(time: Tensor, cycles: Sequence[tuple[int, int]]) -> Tensor:
    """Sine and cosine of the harmonics of each cycle: epoch seconds (…) int64 to (…, 2·harmonics)."""
    if not cycles:
        return torch.zeros(*time.shape, 0)
    waves = []
    for period, harmonics in cycles:
        phase = torch.remainder(time, period).to(torch.float32) * (2 * math.pi / period)
        for harmonic in range(1, harmonics + 1):
            waves += [torch.sin(harmonic * phase), torch.cos(harmonic * phase)]
    return torch.stack(waves, -1)


def masked(values: Tensor) -> Tensor:
    """Values with zero where they are missing, and a flag for each: (…, K) to (…, 2K)."""
    present = ~torch.isnan(values)
    return torch.cat([torch.where(present, values, 0.0), present.to(values.dtype)], -1)


def same_phase(season: int, horizon: int, remembered: int) -> list[list[int]]:
    """Where in the last `remembered` observations those of the same phase as each forecast step lie, newest first: [k][h].

    As many seasons back as every step has, and at most fourteen.
    """
    offsets = [h - 1 - season * math.ceil(h / season) for h in range(1, horizon + 1)]
    depth = min(PHASE_DEPTH, (remembered + min(offsets)) // season + 1)
    return [[remembered + offset - k * season for offset in offsets] for k in range(depth)]


def anchors(recent: Tensor, last: Tensor, level: Tensor, seasons: Sequence[int], horizon: int) -> Tensor:
    """The plain forecasts that the network mixes: last value, level, and for every season the mean of what was seen at the
    same phase and the newest of it. `recent` (P, R), last and level (R,), to (R, H, 2 + 2·seasons), NaN where unknown.
    """
    plain = [last[:, None].expand(-1, horizon), level[:, None].expand(-1, horizon)]
    for season in seasons:
        index = torch.tensor(same_phase(season, horizon, recent.shape[0]))
        candidates = recent[index]  # (k, H, R), newest first
        present = ~torch.isnan(candidates)
        mean = torch.where(present, candidates, 0.0).sum(0) / present.sum(0)  # 0 / 0 is NaN: nothing seen
        newest = torch.where(present[0], candidates[0], mean)
        plain += [mean.t(), newest.t()]
    return torch.stack(plain, 2)
