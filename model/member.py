"""One member's part of the head as it is served: what its weights make of an origin and the plain forecasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.architecture import Architecture
from model.covariates import Affine
from model.forecaster import IMPOSSIBLE, STEP_CURVATURE
from model.ops import Array
from model.recurrences import Weights


class Member:
    """The learned part of `Forecaster.forecast` for some horizons. Rows are origins, R, or their horizons, R · h.

    `ahead` maps what is known of the time ahead (R, n) to each horizon, (h·head), and `future` the columns of covariates (R·h, 2K').
    """

    def __init__(
        self, a: Architecture, w: Weights, horizons: Sequence[int], ahead: Affine, future: NDArray[np.float32]
    ) -> None:
        self.architecture, self.weights = a, w
        chosen = np.array(horizons) - 1
        amounts, bias = w["amounts.weight"].reshape(a.shapes, -1), w["amounts.bias"].reshape(a.shapes, -1)
        by_horizon = (w["shapes"][chosen] @ amounts).reshape(-1, a.context).T
        self.by_horizon = np.concatenate([by_horizon, ahead.weights])
        self.by_horizon_bias = (w["shapes"] @ bias + w["by_horizon"])[chosen].flatten() + ahead.bias
        self.seen = np.concatenate([w["ahead.weight"].T[: 2 * a.anchors], future])
        self.steps_to_levels = _steps_to_levels(len(a.quantiles), a.middle) / 2
        self.centre = np.zeros((len(a.quantiles), len(a.quantiles)), np.float32)
        self.centre[a.middle] = 1

    def quantiles(self, inputs: Array, anchors: Array, known: Array, seen: Array, ahead: Array | None) -> Array:
        """Quantiles (R·h, Q) around the reference in the origin's unit; from what the recurrence and the origin say
        (R, ·), the plain forecasts (R·h, A), bounded and with what is known of them and of covariates (R·h, ·), and the
        time ahead (R, n).
        """
        a, w = self.architecture, self.weights
        context = self._context(inputs)
        context = context if ahead is None else ops.concat([context, ahead])
        z = ops.reshape(ops.gemm(context, self.by_horizon, self.by_horizon_bias), (-1, a.head))
        z = ops.tanh(ops.gemm(seen, self.seen, z))
        logits = ops.gemm(z, w["mixture.weight"].T, w["mixture.bias"])
        weights = ops.softmax(ops.where(known > 0.0, logits, np.float32(IMPOSSIBLE)))
        # a product with ones and not a sum, which adds up in an order that depends on where in memory a row begins
        return ops.gemm(weights * anchors, np.ones((a.anchors, len(a.quantiles)), np.float32), self._residuals(z))

    def _context(self, inputs: Array) -> Array:
        """What the past says, (R, context)."""
        w, C = self.weights, len(self.architecture.channels)
        bias = w["context.bias"] + w["channel_context"]
        if C == 1:
            context = ops.gemm(inputs, w["context.weight"].T, bias[0])
        else:
            context = ops.reshape(inputs @ w["context.weight"].T, (-1, *bias.shape))
            context = ops.reshape(context + bias, (-1, bias.shape[1]))
        return context * ops.sigmoid(context)

    def _residuals(self, z: Array) -> Array:
        """Non-decreasing residual quantiles, (R·h, Q), as `Forecaster` makes them."""
        w = self.weights
        raw = ops.gemm(z, w["residual.weight"].T, w["residual.bias"])
        size = raw + ops.sqrt(raw * raw + STEP_CURVATURE)
        return ops.gemm(raw, self.centre, size @ self.steps_to_levels)


def _steps_to_levels(count: int, middle: int) -> NDArray[np.float32]:
    """How sizes of steps (Q) sum up to distances from the middle level (Q). Sums of the same terms plus one that is not
    negative cannot be smaller in floating point either, so levels stay in order.
    """
    step, level = np.indices((count, count))
    above, below = (middle < step) & (step <= level), (level <= step) & (step < middle)
    return above.astype(np.float32) - below.astype(np.float32)
