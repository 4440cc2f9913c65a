"""The forecaster's head as it is served: from a forecast's origin to quantiles, everything that is fixed folded into constants.

Everything is a matrix whose rows are origins, R = (steps ·) sessions · channels, or their horizons, R · h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.covariates import Affine
from model.features import BOUND, same_phase
from model.member import Member
from model.ops import Array

if TYPE_CHECKING:
    from model.serving import Serving

NEARLY_ONE = 1 - 1e-6
LEVEL, PLAIN = 1, 2  # which anchor the level is, and how many are always known: it and the last value


@dataclass(frozen=True, slots=True)
class Origin:
    """Where forecasts start and what is known there: every field (R, ·).

    `unit` is what residuals are made in and `seen` is `Forecaster.see` of it, `recalled` are the observations at a head's places of `recent`, if it has any, and
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

    def __init__(
        self, serving: Serving, horizons: Sequence[int], ahead: Sequence[Affine], future: Sequence[NDArray[np.float32]]
    ) -> None:
        """`ahead` and `future` are those of each `Member`."""
        a = serving.architecture
        self.architecture, self.horizons = a, horizons
        parts = zip(serving.weights, ahead, future, strict=True)
        self.members = [Member(a, w, horizons, its_ahead, its_future) for w, its_ahead, its_future in parts]
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

    def quantiles(self, origin: Origin, ahead: Array | None, future: Sequence[Array] = ()) -> Array:
        """Quantiles (R, h·Q) from what is known at the origin and of the time ahead, if anything: the calendar's waves and
        covariates (R, n), and columns of the covariates at each horizon (R·h, ·).
        """
        a, Q = self.architecture, len(self.architecture.quantiles)
        anchors, known = self._anchors(origin)
        if a.seasons:
            reference = self._reference(anchors, known)
            anchors = (anchors - reference) * known
        seen = ops.concat([ops.clip(anchors, -BOUND, BOUND), known, *future])
        parts = [(member, self._inputs(origin, i)) for i, member in enumerate(self.members)]
        quantiles = _mean([member.quantiles(inputs, anchors, known, seen, ahead) for member, inputs in parts])
        if a.seasons:
            quantiles = ops.gemm(reference, self._column(0, Q), quantiles)
        quantiles = ops.reshape(quantiles, (-1, len(self.horizons) * Q))
        quantiles = quantiles * origin.unit + origin.last
        return quantiles if origin.floor is None else ops.maximum(quantiles, origin.floor)

    def _reference(self, anchors: Array, known: Array) -> Array:
        """What the others are seen from, in every column (R·h, A): the anchor of the same phase, or the level where it is unknown.

        By products with constants, because a column that is cut out and added to a matrix is slow.
        """
        a, A = self.architecture, self.architecture.anchors
        unknown = ops.gemm(known, -self._column(a.reference, A), np.ones(A, np.float32))
        return ops.gemm(anchors, self._column(a.reference, A), anchors @ self._column(LEVEL, A) * unknown)

    def _column(self, anchor: int, width: int) -> NDArray[np.float32]:
        """(A, width): what repeats an anchor's column so often."""
        return np.repeat(np.eye(self.architecture.anchors, dtype=np.float32)[:, anchor : anchor + 1], width, 1)

    def _inputs(self, origin: Origin, i: int) -> Array:
        """What a member's recurrence put out, and what is seen of the channel, (R, ·)."""
        N = self.architecture.units
        outputs = origin.outputs[:, i * N : (i + 1) * N] if len(self.members) > 1 else origin.outputs
        return ops.concat([outputs, origin.seen])

    def _anchors(self, origin: Origin) -> tuple[Array, Array]:
        """The plain forecasts of `features.anchors` less the last value, in the origin's unit, zero where unknown,
        and one where known: (R·h, A).
        """
        unit = origin.unit
        A, n = self.architecture.anchors, self.architecture.anchors - PLAIN
        every, plain = np.eye(A, dtype=np.float32), (np.arange(A) < PLAIN).astype(np.float32)
        level = (origin.level - origin.last) / unit @ np.tile(every[LEVEL:PLAIN], len(self.horizons))
        anchors = _rows(level, A)
        if origin.recalled is None:
            return anchors, anchors * 0.0 + 1.0
        values = ops.where(origin.present, (origin.recalled - origin.last) / unit, 0.0)
        sums, counts = _rows(values @ self.shares, n), _rows(ops.to_float(origin.present) @ self.shares, n)
        means, is_mean = sums / ops.clip(counts, 1.0), np.arange(n) % 2 == 0
        instead = np.eye(n, k=1, dtype=np.float32) * ~is_mean  # the mean where the newest is missing
        seasonal = ops.where(counts > 0.0, means, means @ instead)
        of_season = np.repeat(np.eye(n, dtype=np.float32)[:, is_mean], 2, axis=1)
        known = ops.clip(ops.gemm(counts, of_season @ every[PLAIN:], plain), None, 1.0)
        return ops.gemm(seasonal, every[PLAIN:], anchors), known


def _mean(found: Sequence[Array]) -> Array:
    return found[0] if len(found) == 1 else sum(found[1:], found[0]) * (1 / len(found))


def _rows(x: Array, width: int) -> Array:
    """(R, h·width) as (R·h, width)."""
    return ops.reshape(x, (-1, width))
