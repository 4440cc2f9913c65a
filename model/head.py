"""The forecaster's head as it is served: from a forecast's origin to quantiles, everything that is fixed folded into constants.

Inside, everything is a matrix whose rows are origins, R = (steps ·) sessions · channels, or their horizons, R · h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.features import BOUND, same_phase
from model.member import Member
from model.ops import Array

if TYPE_CHECKING:
    from model.serving import Serving

NEARLY_ONE = 1 - 1e-6
LEVEL, PLAIN = 1, 2  # which anchor the level is, and how many are always known: it and the last value


@dataclass(frozen=True, slots=True)
class Origin:
    """Where forecasts start and what is known there: every field (…, C, ·).

    `unit` is `scaling.unit` and `seen` is `Forecaster.see` of it, `recalled` are the observations at a head's places of `recent`, if it has any, and
    `present` says which of them are known. Forecasts do not go below `floor`, if there is one.
    """

    last: Array
    level: Array
    unit: Array
    floor: Array | None
    seen: Array
    outputs: Array
    recalled: Array | None
    present: Array | None


def floor(level: Array, spread: Array) -> Array:
    """Zero for channels that were never negative, which an uncentred spread shows: it equals the level."""
    return ops.where(level >= spread * NEARLY_ONE, 0.0, np.float32(-np.inf))


class Head:
    """`Forecaster.forecast` for some of its horizons."""

    def __init__(self, serving: Serving, horizons: Sequence[int]) -> None:
        a = serving.architecture
        self.architecture, self.horizons = a, horizons
        self.members = [Member(a, w, horizons) for w in serving.weights]
        chosen = np.array(horizons) - 1
        phases = [np.array(same_phase(season, a.horizon, a.recent_steps))[:, chosen] for season in a.seasons]
        self.places = np.unique(np.concatenate([p.flatten() for p in phases])) if phases else np.zeros(0, np.int64)
        self.shares = self._shares(phases)

    def _shares(self, phases: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Which places are summed up in the seasonal anchors, mean and newest of each season: (places, h·2·seasons)."""
        shares = np.zeros((len(self.places), len(self.horizons), 2 * len(phases)), np.float32)
        for season, table in enumerate(phases):
            for k, i in np.ndindex(*table.shape):
                place = np.searchsorted(self.places, table[k, i])
                shares[place, i, 2 * season] = 1
                shares[place, i, 2 * season + 1] = k == 0
        return shares.reshape(len(self.places), len(self.horizons) * 2 * len(phases))

    def quantiles(self, origin: Origin, ahead: Sequence[Array] = (), future: Sequence[Array] = ()) -> Array:
        """Quantiles (R, h·Q) from what is known at the origin, and what the calendar and the covariates say of the time ahead,
        if anything: `ahead` (R, h·head) and `future` (R·h, head) for each member.
        """
        a, Q = self.architecture, len(self.architecture.quantiles)
        anchors, known = self._anchors(origin)
        reference = anchors[..., a.reference : a.reference + 1]
        if a.seasons:  # the last value is always known, that of the same phase need not be
            reference = ops.where(known[..., a.reference : a.reference + 1] > 0.0, reference, anchors[..., LEVEL:PLAIN])
        anchors = ops.where(known > 0.0, anchors - reference, 0.0)
        seen = ops.concat([ops.clip(anchors, -BOUND, BOUND), known])
        found = [
            member.quantiles(self._inputs(origin, i), anchors, known, seen, *_of_member(i, ahead, future))
            for i, member in enumerate(self.members)
        ]
        quantiles = ops.reshape(_mean(found) + reference, (-1, len(self.horizons) * Q))
        quantiles = quantiles * _rows(origin.unit) + _rows(origin.last)
        return quantiles if origin.floor is None else ops.maximum(quantiles, _rows(origin.floor))

    def _inputs(self, origin: Origin, i: int) -> Array:
        """What a member's recurrence put out, and what is seen of the channel, (…, C, ·)."""
        N = self.architecture.units
        outputs = origin.outputs[..., i * N : (i + 1) * N] if len(self.members) > 1 else origin.outputs
        return ops.concat([outputs, origin.seen])

    def _anchors(self, origin: Origin) -> tuple[Array, Array]:
        """The plain forecasts of `features.anchors` less the last value, in units of the seasonal change, zero where unknown,
        and one where known: (R·h, A).
        """
        unit = origin.unit
        A, n = self.architecture.anchors, self.architecture.anchors - PLAIN
        every, plain = np.eye(A, dtype=np.float32), np.arange(A) < PLAIN
        level = _rows((origin.level - origin.last) / unit) + np.zeros(len(self.horizons), np.float32)
        anchors = _rows(level) @ every[LEVEL:PLAIN]
        if origin.recalled is None:
            return anchors, anchors * 0.0 + 1.0
        values = ops.where(origin.present, (origin.recalled - origin.last) / unit, 0.0)
        sums = _rows(_rows(values, len(self.places)) @ self.shares, n)
        counts = _rows(_rows(ops.to_float(origin.present), len(self.places)) @ self.shares, n)
        means, is_mean = sums / ops.clip(counts, 1.0), np.arange(n) % 2 == 0
        instead = np.eye(n, k=1, dtype=np.float32) * ~is_mean  # the mean where the newest is missing
        seasonal = ops.where(counts > 0.0, means, means @ instead)
        shown = ops.clip(counts @ np.repeat(np.eye(n, dtype=np.float32)[:, is_mean], 2, axis=1), None, 1.0)
        return anchors + seasonal @ every[PLAIN:], shown @ every[PLAIN:] + plain.astype(np.float32)


def _of_member(i: int, *parts: Sequence[Array]) -> list[Array | None]:
    """A member's part of each, none where there is nothing."""
    return [part[i] if part else None for part in parts]


def _mean(found: Sequence[Array]) -> Array:
    return found[0] if len(found) == 1 else sum(found[1:], found[0]) * (1 / len(found))


def _rows(x: Array, width: int = 1) -> Array:
    """(…, width) as (R, width)."""
    return ops.reshape(x, (-1, width))
