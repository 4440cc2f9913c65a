"""What a series' own past says about its level and spread, causally and in constant time, as training computes it.

Both are exponentially weighted means, corrected for their short beginnings by the same mean of the weights, so the first
observations give a running mean and missing ones change nothing. Rows are (session, channel) pairs: R = B·C.
"""

from __future__ import annotations

import torch
from torch import Tensor

HALF_LIFE_SEASONS = 7  # of the shortest: a week of days
ROUGHNESS_SEASONS = 1  # of the longest, half-life of the size of changes: bands must follow how noisy a series is now
SHORTEST_SEASON = 4  # for the half-lives, where there is no season
SMALLEST_SPREAD = 1e-30
LARGEST_CHANGE = 3.0
SMOOTHEST, ROUGHNESS_UNIT = 1e-4, 3.0
MOST_CHANGES = (
    10.0  # seasonal changes that a spread counts for at most: a constant has none, and its bands must be narrow
)
BLOCK = 128


def decay(season: int, seasons: float = HALF_LIFE_SEASONS) -> float:
    """What a step leaves of the weights of the past, for a half-life of so many seasons."""
    return float(0.5 ** (1 / (seasons * max(season, SHORTEST_SEASON))))


def scale(y: Tensor, decay: float, *, signed: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Level `m_t = EW(y)`, spread `s_t`, its change in logarithms, and whether y was never negative, each (T, R), for
    observations y (T, R) from a series' start, NaN where missing.

    Signed data are centred, `s_t = EW|y_t − m_{t−1}|`; others are not, `s_t = EW|y_t|`, so that zero stays zero.
    """
    observed = ~torch.isnan(y)
    seen, known = observed.to(y.dtype), torch.where(observed, y, 0.0)
    weight = leaky_mean(seen, decay)
    level = leaky_mean(known, decay) / weight.clamp_min(SMALLEST_SPREAD)
    if signed:  # the first observation has no level before it to deviate from
        counted = seen * (_before(weight) > 0)
        deviation = (known - _before(level)).abs() * counted
    else:
        counted, deviation = seen, known.abs()
    weight = leaky_mean(counted, decay)
    spread = leaky_mean(deviation, decay) / weight.clamp_min(SMALLEST_SPREAD)
    spread = torch.where(weight > 0, spread, level.abs()).clamp_min(SMALLEST_SPREAD)
    change = torch.log(spread / _before(spread, SMALLEST_SPREAD)).clamp(-LARGEST_CHANGE, LARGEST_CHANGE)
    return level, spread, change, ~(known < 0).cummax(0).values


def roughness(y: Tensor, lagged: Tensor, spread: Tensor, decay: float) -> Tensor:
    """`log EW|y_t − y_{t−lag}| / s_t` for each lag, bounded and about one in size: (T, R, lags), from y (T, R), the values
    a lag before (T, R, lags) and the spread (T, R). Zero where no change was seen yet.
    """
    change = (y[..., None] - lagged).abs()
    seen = ~torch.isnan(change)
    weight = leaky_mean(seen.to(y.dtype), decay)
    mean = leaky_mean(torch.where(seen, change, 0.0), decay) / weight.clamp_min(SMALLEST_SPREAD)
    ratio = (mean / spread[..., None]).clamp(SMOOTHEST, 1 / SMOOTHEST)
    return torch.where(weight > 0, torch.log(ratio) / ROUGHNESS_UNIT, 0.0)


def change(spread: Tensor, roughness: Tensor, *, seasonal: bool) -> Tensor:
    """How large an error to reckon with: the smallest size of change from season to season (or from step to step, where no
    season is known), (T, R), from the spread (T, R) and the roughness (T, R, differences). The spread, before any is seen.
    """
    smallest = (roughness[..., 1:] if seasonal else roughness).min(-1).values
    return spread * torch.exp(ROUGHNESS_UNIT * smallest)


def leaky_mean(x: Tensor, decay: float) -> Tensor:
    """`s_t = decay·s_{t−1} + (1 − decay)·x_t` along the leading axis, from zero; a block of steps at a time, as one product."""
    shape, x = x.shape, x.flatten(1)
    places = torch.arange(BLOCK)
    ages = (places[:, None] - places).clamp_min(0)
    within = torch.tril((1 - decay) * torch.tensor(decay) ** ages)
    s = torch.zeros_like(x[0])
    outputs = []
    for block in x.split(BLOCK):
        steps = len(block)
        carried = (torch.tensor(decay) ** (places[:steps, None] + 1)) * s
        outputs.append(within[:steps, :steps] @ block + carried)
        s = outputs[-1][-1]
    return torch.cat(outputs).reshape(shape)


def _before(sequence: Tensor, first: float = 0.0) -> Tensor:
    """The sequence one step earlier: what was known before each observation."""
    return torch.cat([torch.full_like(sequence[:1], first), sequence[:-1]])
