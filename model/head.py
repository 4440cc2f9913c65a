"""The forecaster's head as it is served: from a forecast's origin to quantiles, everything that is fixed folded into constants.

Inside, everything is a matrix whose rows are origins, R = (steps ·) sessions · channels, or their horizons, R · h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model import ops, scaling
from model.architecture import Architecture
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

    `seen` is `Forecaster.see` of it, `recalled` are the observations at a head's places of `recent`, if it has any, and
    `present` says which of them are known. Forecasts do not go below `floor`, if there is one.
    """

    last: Array
    level: Array
    spread: Array
    floor: Array | None
    seen: Array
    outputs: Array
    recalled: Array | None
    present: Array | None


def floor(level: Array, spread: Array) -> Array:
    """Zero for channels that were never negative, which an uncentred spread shows: it equals the level."""
    return ops.where(level >= spread * NEARLY_ONE, 0.0, np.float32(-np.inf))


def unit_of(a: Architecture, roughness: Array, spread: Array) -> Array:
    """`scaling.unit` from roughness (…, differences) and spread (…, 1)."""
    smallest = ops.smallest(roughness[..., 1:]) if len(a.seasons) > 1 else roughness[..., len(a.seasons) :]
    return ops.exp(smallest * scaling.ROUGHNESS_UNIT) * spread


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

    def _shares(self, phases: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.float32], ...]:
        """How the values at places, then last value and level, sum up to the anchors of all horizons (places + 2, h·A); how
        many of them are counted in each, and how many that show whether it is known, each (places, h·A).
        """
        h, A, places = len(self.horizons), self.architecture.anchors, len(self.places)
        values, shown = np.zeros((2, places + PLAIN, h, A), np.float32)
        values[places, :, 0] = values[places + 1, :, 1] = 1
        for s, table in enumerate(phases):
            mean, newest = PLAIN + 2 * s, PLAIN + 2 * s + 1
            for k, i in np.ndindex(*table.shape):
                place = np.searchsorted(self.places, table[k, i])
                values[place, i, mean] = shown[place, i, mean] = shown[place, i, newest] = 1
                values[place, i, newest] = k == 0
        return values.reshape(-1, h * A), values[:places].reshape(-1, h * A), shown[:places].reshape(-1, h * A)

    def quantiles(self, origin: Origin, ahead: Sequence[Array] = (), future: Sequence[Array] = ()) -> Array:
        """Quantiles (R, h·Q) from what is known at the origin, and what the calendar and the covariates say of the time ahead,
        if anything: `ahead` (R, h·head) and `future` (R·h, head) for each member.
        """
        a, Q = self.architecture, len(self.architecture.quantiles)
        roughness = origin.seen[..., -len(a.differences) :]
        unit = unit_of(a, roughness, origin.spread)
        anchors, known = self._anchors(origin, unit)
        reference = anchors[..., a.reference : a.reference + 1]
        if a.seasons:  # the last value is always known, that of the same phase need not be
            reference = ops.where(known[..., a.reference : a.reference + 1] > 0.0, reference, anchors[..., LEVEL:PLAIN])
        anchors = ops.where(known > 0.0, anchors - reference, 0.0)
        seen = ops.concat([ops.clip(anchors, -BOUND, BOUND), known])
        found = [
            member.quantiles(self._inputs(origin, i), anchors, known, seen, *_of_member(i, ahead, future))
            for i, member in enumerate(self.members)
        ]
        quantiles = ops.reshape(_mean(found) + reference, (-1, len(self.horizons) * Q)) * _rows(unit) + _rows(
            origin.last
        )
        return quantiles if origin.floor is None else ops.maximum(quantiles, _rows(origin.floor))

    def _inputs(self, origin: Origin, i: int) -> Array:
        """What a member's recurrence put out, and what is seen of the channel, (…, C, ·)."""
        N = self.architecture.units
        outputs = origin.outputs[..., i * N : (i + 1) * N] if len(self.members) > 1 else origin.outputs
        return ops.concat([outputs, origin.seen])

    def _anchors(self, origin: Origin, unit: Array) -> tuple[Array, Array]:
        """The plain forecasts of `features.anchors` less the last value, in units of the seasonal change, zero where unknown,
        and one where known: (R·h, A).
        """
        A, h = self.architecture.anchors, len(self.horizons)
        values = ops.concat([origin.last, origin.level])
        if origin.recalled is not None:
            values = ops.concat([ops.where(origin.present, origin.recalled, origin.last), values])
        values = (values - origin.last) / unit
        anchors = _rows(_rows(values, len(self.places) + PLAIN) @ self.shares[0], A)
        if origin.recalled is None:
            return anchors, anchors * 0.0 + 1.0
        counts = _rows(ops.to_float(origin.present), len(self.places)) @ np.concatenate(self.shares[1:], 1)
        counted, shown = _rows(counts[..., 0 : h * A], A), _rows(counts[..., h * A :], A)
        anchors = anchors / ops.clip(counted, 1.0)
        known = ops.clip(shown + (np.arange(A) < PLAIN).astype(np.float32), None, 1.0)
        is_newest = ((np.arange(A) >= PLAIN) & (np.arange(A) % 2 == 1)).astype(np.float32)
        instead = np.eye(A, k=1, dtype=np.float32) * is_newest  # the mean where the newest is missing
        return ops.where(counted + (1 - is_newest) > 0.0, anchors, anchors @ instead), known


def _of_member(i: int, *parts: Sequence[Array]) -> list[Array | None]:
    """A member's part of each, none where there is nothing."""
    return [part[i] if part else None for part in parts]


def _mean(found: Sequence[Array]) -> Array:
    return found[0] if len(found) == 1 else sum(found[1:], found[0]) * (1 / len(found))


def _rows(x: Array, width: int = 1) -> Array:
    """(…, width) as (R, width)."""
    return ops.reshape(x, (-1, width))
