"""Running sums over scored forecasts, and the metrics that they give; their size does not grow with the forecasts.

Missing truths are not scored. G groups (horizons, or series), Q quantile levels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums by group: of forecasts `count`, of |truth| `size`, of the median's errors, (G,); and by level, (G, Q)."""

    count: Floats
    size: Floats
    absolute: Floats
    squared: Floats
    relative: Floats  # 2·|error| / (|truth| + |forecast|), 0 where both are zero
    pinball: Floats
    under: Floats  # truths below the quantile
    below: Floats  # truths at or below it
    value: Floats  # quantiles themselves, of which the width of bands is a difference

    @classmethod
    def zeros(cls, groups: int, levels: int) -> Sums:
        one, each = (groups,), (groups, levels)
        return cls(*(np.zeros(shape) for shape in (one, one, one, one, one, each, each, each, each)))

    def total(self) -> Sums:
        """The sums over all groups, as one group."""
        return Sums(*(getattr(self, field.name).sum(0, keepdims=True) for field in fields(self)))

    def add(self, group: NDArray[np.int64], truth: Floats, quantiles: Floats, levels: Floats, middle: int) -> None:
        """Score forecasts (n, Q) against truths (n,), each for its group (n,)."""
        known = ~np.isnan(truth)
        if not known.any():
            return
        group, truth, quantiles = group[known], truth[known], quantiles[known]
        error = truth - quantiles[:, middle]
        size = np.abs(truth) + np.abs(quantiles[:, middle])
        relative = np.divide(2 * np.abs(error), size, out=np.zeros_like(size), where=size > 0)
        missed = truth[:, None] - quantiles
        parts = Sums(
            count=np.ones_like(truth),
            size=np.abs(truth),
            absolute=np.abs(error),
            squared=error**2,
            relative=relative,
            pinball=np.maximum(levels * missed, (levels - 1) * missed),
            under=(missed < 0).astype(np.float64),
            below=(missed <= 0).astype(np.float64),
            value=quantiles,
        )
        for field in fields(self):
            _add(getattr(self, field.name), group, getattr(parts, field.name))


def _add(total: Floats, group: NDArray[np.int64], parts: Floats) -> None:
    """Add rows of parts (n,) or (n, Q) to the groups (n,) of a total (G,) or (G, Q)."""
    columns = parts[0].size
    cells = group[:, None] * columns + np.arange(columns)
    total += np.bincount(cells.ravel(), parts.ravel(), total.size).reshape(total.shape)


def wql(sums: Sums) -> Floats:
    """Mean weighted quantile loss, (G,): twice the pinball loss over Σ|truth|, the mean over levels."""
    return ratio(2 * sums.pinball.mean(1), sums.size)


def coverage(sums: Sums) -> Floats:
    """Share of truths at or below each quantile, (G, Q)."""
    return ratio(sums.below, sums.count[:, None])


def bands(levels: tuple[float, ...]) -> list[tuple[int, int]]:
    """Pairs of levels that bound a central band, the widest first."""
    pairs = ((low, high) for low in range(len(levels)) for high in range(low + 1, len(levels)))
    return [(low, high) for low, high in pairs if abs(levels[low] + levels[high] - 1) < 1e-9]


def band_coverage(sums: Sums, low: int, high: int) -> Floats:
    """Share of truths within a band, its bounds included, (G,)."""
    return ratio(sums.below[:, high] - sums.under[:, low], sums.count)


def main_band(levels: tuple[float, ...]) -> tuple[int, int] | None:
    """The central 80 % band, or the widest where it is not among the levels; None where there is no band."""
    found = bands(levels)
    wanted = [pair for pair in found if abs(levels[pair[0]] - 0.1) < 1e-9]
    return next(iter(wanted or found), None)


def middle(levels: tuple[float, ...]) -> int:
    """Which level is nearest the median: the point forecast."""
    return min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))


def ratio(total: Floats, count: Floats) -> Floats:
    """A mean, NaN of nothing."""
    count = np.broadcast_to(count, total.shape)
    found: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return found
