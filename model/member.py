"""One member's part of the head as it is served: what its weights make of an origin and the plain forecasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.architecture import Architecture
from model.forecaster import IMPOSSIBLE, STEP_CURVATURE
from model.ops import Array
from model.recurrences import Weights


class Member:
    """The learned part of `Forecaster.forecast` for some horizons. Rows are origins, R, or their horizons, R · h."""

    def __init__(self, a: Architecture, w: Weights, horizons: Sequence[int]) -> None:
        self.architecture, self.weights = a, w
        chosen = np.array(horizons) - 1
        self.anchor_weights, self.ahead_weights = np.split(w["ahead.weight"].T, [2 * a.anchors])
        amounts, bias = w["amounts.weight"].reshape(a.shapes, -1), w["amounts.bias"].reshape(a.shapes, -1)
        self.shapes = w["shapes"][chosen]
        self.by_horizon = (self.shapes @ amounts).reshape(-1, a.context).T
        self.by_horizon_bias = (w["shapes"] @ bias + w["by_horizon"])[chosen].flatten()
        self.steps_to_levels = _steps_to_levels(len(a.quantiles), a.middle)

    def quantiles(
        self, inputs: Array, anchors: Array, known: Array, seen: Array, ahead: Array | None, future: Array | None
    ) -> Array:
        """Quantiles (R·h, Q) around the reference in units of the seasonal change; from what the recurrence and the origin say
        (…, C, ·), the plain forecasts (R·h, A), bounded and with what is known (R·h, 2A), and what the calendar (R, h·head)
        and the covariates (R·h, head) say of the time ahead.
        """
        a, w = self.architecture, self.weights
        z = self._context(inputs)
        z = ops.reshape(z if ahead is None else z + ahead, (-1, a.head)) + seen @ self.anchor_weights
        z = ops.tanh(z if future is None else z + future)
        logits = z @ w["mixture.weight"].T + w["mixture.bias"]
        weights = ops.softmax(ops.where(known > 0.0, logits, np.float32(IMPOSSIBLE)))
        # a product with ones and not a sum, which adds up in an order that depends on where in memory a row begins
        return (weights * anchors) @ np.ones((a.anchors, len(a.quantiles)), np.float32) + self._residuals(z)

    def _context(self, inputs: Array) -> Array:
        """What the past says of each horizon, (R, h·head)."""
        w, C = self.weights, len(self.architecture.channels)
        bias = w["context.bias"] + w["channel_context"]
        if C == 1:
            context = ops.reshape(inputs, (-1, w["context.weight"].shape[1])) @ w["context.weight"].T + bias[0]
        else:
            context = ops.reshape(inputs @ w["context.weight"].T + bias, (-1, bias.shape[1]))
        context = context * ops.sigmoid(context)
        a, h = self.architecture, len(self.shapes)
        if h <= a.shapes:  # one matrix is smaller than two
            return context @ self.by_horizon + self.by_horizon_bias
        amounts = ops.reshape(context @ w["amounts.weight"].T, (-1, a.shapes, a.head))
        return ops.reshape(self.shapes @ amounts, (-1, h * a.head)) + self.by_horizon_bias

    def _residuals(self, z: Array) -> Array:
        """Non-decreasing residual quantiles, (R·h, Q), as `Forecaster` makes them."""
        w, middle = self.weights, self.architecture.middle
        raw = z @ w["residual.weight"].T + w["residual.bias"]
        size = (raw + ops.sqrt(raw * raw + STEP_CURVATURE)) * 0.5
        return raw[..., middle : middle + 1] + size @ self.steps_to_levels


def _steps_to_levels(count: int, middle: int) -> NDArray[np.float32]:
    """How sizes of steps (Q) sum up to distances from the middle level (Q). Sums of the same terms plus one that is not
    negative cannot be smaller in floating point either, so levels stay in order.
    """
    step, level = np.indices((count, count))
    above, below = (middle < step) & (step <= level), (level <= step) & (step < middle)
    return above.astype(np.float32) - below.astype(np.float32)
