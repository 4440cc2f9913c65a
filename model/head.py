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
from model.forecaster import IMPOSSIBLE, STEP_CURVATURE
from model.ops import Array

if TYPE_CHECKING:
    from model.serving import Serving

NEARLY_ONE = 1 - 1e-6
PLAIN = 2  # anchors that are always known: last value and level


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
        a, w = serving.architecture, serving.weights
        self.architecture, self.weights, self.horizons = a, w, horizons
        chosen = np.array(horizons) - 1
        phases = [np.array(same_phase(season, a.horizon, a.recent_steps))[:, chosen] for season in a.seasons]
        self.places = np.unique(np.concatenate([p.flatten() for p in phases])) if phases else np.zeros(0, np.int64)
        self.shares = self._shares(phases)
        self.anchor_weights, self.ahead_weights = np.split(w["ahead.weight"].T, [2 * a.anchors])
        shapes = w["shapes"][chosen]
        bias = shapes @ w["amounts.bias"].reshape(a.shapes, a.head) + w["by_horizon"][chosen]
        self.shapes, self.bias = shapes, bias.flatten()
        by_context = np.einsum("hs,skc->chk", shapes, w["amounts.weight"].reshape(a.shapes, a.head, a.context))
        self.by_horizon = by_context.reshape(a.context, -1)
        self.steps_to_levels = _steps_to_levels(len(a.quantiles), a.middle)

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

    def quantiles(self, origin: Origin, ahead: Array | None, future: Array | None = None) -> Array:
        """Quantiles (R, h·Q) from what is known at the origin, and what the calendar and the covariates say of the time ahead:
        `ahead` (R, h·head) and `future` (R·h, head).
        """
        a, h, Q = self.architecture, len(self.horizons), len(self.architecture.quantiles)
        anchors, known = self._anchors(origin)
        reference = anchors[..., a.reference : a.reference + 1]
        if a.seasons:  # the last value is always there, that of the same phase need not be
            reference = ops.where(known[..., a.reference : a.reference + 1] > 0.0, reference, anchors[..., 1:2])
        unit = ops.reshape(origin.unit, (-1, 1, 1))
        anchors = ops.where(known > 0.0, (anchors - reference) / unit, 0.0)
        anchors, known = _rows(anchors, a.anchors), _rows(known, a.anchors)

        z = self._context(origin)
        z = _rows(z if ahead is None else z + ahead, a.head)
        z = z + ops.concat([ops.clip(anchors, -BOUND, BOUND), known]) @ self.anchor_weights
        z = ops.tanh(z if future is None else z + future)
        logits = z @ self.weights["mixture.weight"].T + self.weights["mixture.bias"]
        weights = ops.softmax(ops.where(known > 0.0, logits, np.float32(IMPOSSIBLE)))
        # a product with ones and not a sum, which adds up in an order that depends on where in memory a row begins
        quantiles = (weights * anchors) @ np.ones((a.anchors, Q), np.float32) + self._residuals(z)
        quantiles = ops.reshape(quantiles, (-1, h, Q)) * unit + reference
        if origin.floor is not None:
            quantiles = ops.maximum(quantiles, ops.reshape(origin.floor, (-1, 1, 1)))
        return _rows(quantiles, h * Q)

    def _anchors(self, origin: Origin) -> tuple[Array, Array]:
        """The plain forecasts of `features.anchors` and one where they are known, zero where not: (R, h, A)."""
        A, h = self.architecture.anchors, len(self.horizons)
        values = ops.concat([origin.last, origin.level])
        if origin.recalled is not None:
            values = ops.concat([ops.where(origin.present, origin.recalled, 0.0), values])
        anchors, always = _rows(values, len(self.places) + PLAIN) @ self.shares[0], np.tile(np.arange(A) < PLAIN, h)
        if origin.recalled is None:
            return ops.reshape(anchors, (-1, h, A)), ops.reshape(anchors * 0.0 + 1.0, (-1, h, A))
        counts = _rows(ops.to_float(origin.present), len(self.places)) @ np.concatenate(self.shares[1:], 1)
        anchors = anchors / ops.clip(counts[..., 0 : h * A], 1.0)
        known = ops.clip(counts[..., h * A :] + always.astype(np.float32), None, 1.0)
        is_newest = np.tile((np.arange(A) >= PLAIN) & (np.arange(A) % 2 == 1), h).astype(np.float32)
        instead = (
            np.kron(np.eye(h), np.eye(A, k=1)).astype(np.float32) * is_newest
        )  # the mean where the newest is missing
        anchors = ops.where(counts[..., 0 : h * A] + (1 - is_newest) > 0.0, anchors, anchors @ instead)
        return ops.reshape(anchors, (-1, h, A)), ops.reshape(known, (-1, h, A))

    def _context(self, origin: Origin) -> Array:
        """What the past says of each horizon, (R, h·head)."""
        w, C = self.weights, len(self.architecture.channels)
        bias = w["context.bias"] + w["channel_context"]
        inputs = ops.concat([origin.outputs, origin.seen])
        if C == 1:
            context = _rows(inputs, w["context.weight"].shape[1]) @ w["context.weight"].T + bias[0]
        else:
            context = _rows(inputs @ w["context.weight"].T + bias, bias.shape[1])
        context = context * ops.sigmoid(context)
        a, h = self.architecture, len(self.horizons)
        if h <= a.shapes:
            return context @ self.by_horizon + self.bias
        amounts = ops.reshape(context @ w["amounts.weight"].T, (-1, a.shapes, a.head))
        return _rows(self.shapes @ amounts, h * a.head) + self.bias

    def _residuals(self, z: Array) -> Array:
        """Non-decreasing residual quantiles, (R·h, Q), as `Forecaster` makes them."""
        w, middle = self.weights, self.architecture.middle
        raw = z @ w["residual.weight"].T + w["residual.bias"]
        size = (raw + ops.sqrt(raw * raw + STEP_CURVATURE)) * 0.5
        return raw[..., middle : middle + 1] + size @ self.steps_to_levels


def _rows(x: Array, width: int = 1) -> Array:
    """(…, width) as (R, width)."""
    return ops.reshape(x, (-1, width))


def _steps_to_levels(count: int, middle: int) -> NDArray[np.float32]:
    """How sizes of steps (Q) sum up to distances from the middle level (Q). Sums of the same terms plus one that is not
    negative cannot be smaller in floating point either, so levels stay in order.
    """
    step, level = np.indices((count, count))
    above, below = (middle < step) & (step <= level), (level <= step) & (step < middle)
    return above.astype(np.float32) - below.astype(np.float32)
