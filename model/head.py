"""The forecaster's head as it is served: from a state to quantiles, everything that is fixed folded into constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model import ops
from model.features import BOUND, same_phase
from model.forecaster import IMPOSSIBLE, STEP_CURVATURE
from model.ops import Array, masked

if TYPE_CHECKING:
    from model.serving import Serving, Summary

NEARLY_ONE = 1 - 1e-6


class Head:
    """`Forecaster.forecast` for a state vector."""

    def __init__(self, serving: Serving) -> None:
        self.serving, a, w = serving, serving.architecture, serving.weights
        self.places = [np.array(same_phase(season, a.horizon, a.recent_steps)) for season in a.seasons]
        ahead = w["ahead.weight"].T
        self.anchor_weights = ahead[: 2 * a.anchors]
        waves = len(serving.waves.periods)
        calendar = ahead[2 * a.anchors : 2 * a.anchors + waves]
        self.covariate_weights = ahead[2 * a.anchors + waves :]
        turned = [serving.waves.ahead(calendar, steps) for steps in range(1, a.horizon + 1)]
        self.calendar_weights = np.concatenate(turned, axis=1)  # (waves, H·head)
        bias = w["amounts.bias"].reshape(a.shapes, a.head)
        self.by_horizon = w["shapes"] @ bias + w["by_horizon"]  # (H, head)

    def quantiles(self, state: Array, time: Array, future_covariates: Array | None) -> Array:
        """Quantiles (B, H, C, Q) from states (B, S), times of the last observation (B,) and covariates (B, H, K')."""
        serving, a = self.serving, self.serving.architecture
        summary = serving.origin(state)
        unit, plain = ops.expand(summary.unit, 3), self._anchors(state, summary)
        reference = plain[a.reference]
        if a.seasons:  # the last value is always there, that of the same phase need not be
            reference = ops.where(ops.isnan(reference), summary.level, reference)
        reference = ops.expand(reference, 3)
        anchors = (ops.concat([ops.expand(forecast, 3) for forecast in plain]) - reference) / unit
        known = ~ops.isnan(anchors)
        anchors = ops.where(known, anchors, 0.0)

        z = self._by_horizon(state, time, summary)
        z = z + ops.concat([ops.clip(anchors, -BOUND, BOUND), ops.to_float(known)]) @ self.anchor_weights
        if future_covariates is not None:
            z = z + ops.expand(self._future(future_covariates), 1)
        z = ops.tanh(z)

        quantiles = (self._mix(z, anchors, known) + self._residuals(z)) * unit + reference
        quantiles = quantiles if a.signed else ops.maximum(quantiles, _floor(summary))
        return ops.transpose(quantiles, 0, 2, 1, 3)

    def _anchors(self, state: Array, summary: Summary) -> list[Array]:
        """The plain forecasts of `features.anchors`, each (B, C, H), NaN where unknown."""
        H = self.serving.architecture.horizon
        plain = [summary.last + np.zeros(H, np.float32), summary.level + np.zeros(H, np.float32)]
        for phases in self.places:
            places = phases.flatten()
            values, present = self.serving.remembered(state, summary.age, places)
            every = np.tile(np.eye(H, dtype=np.float32), (len(phases), 1))  # sums over the seasons of one phase
            count = ops.to_float(present) @ every
            mean = ops.where(present, values, 0.0) @ every / ops.clip(count, 1.0)
            mean = ops.where(count > 0.0, mean, np.float32(np.nan))
            plain += [mean, ops.where(present[..., 0:H], values[..., 0:H], mean)]
        return plain

    def _by_horizon(self, state: Array, time: Array, summary: Summary) -> Array:
        """What the past and the calendar say of each horizon, (B, C, H, head)."""
        serving, a, w = self.serving, self.serving.architecture, self.serving.weights
        lags, present = serving.remembered(state, summary.age, a.recent_steps - 1 - np.array(a.lags))
        own = ops.concat([serving.outputs(state), serving.see(summary, lags, present)])
        context = own @ w["context.weight"].T + (w["context.bias"] + w["channel_context"])
        amounts = (context * ops.sigmoid(context)) @ w["amounts.weight"].T
        z = w["shapes"] @ ops.reshape(amounts, (0, 0, a.shapes, a.head))
        if not a.cycles:
            return z + self.by_horizon
        calendar = serving.waves.at(ops.expand(time, 1)) @ self.calendar_weights + self.by_horizon.flatten()
        return z + ops.reshape(calendar, (0, 1, a.horizon, a.head))

    def _future(self, future_covariates: Array) -> Array:
        """What the covariates known ahead say of each horizon, (B, H, head)."""
        a, w = self.serving.architecture, self.serving.weights
        scale = 1 / w["covariate_spread"][a.known_ahead]
        return masked((future_covariates - w["covariate_mean"][a.known_ahead]) * scale) @ self.covariate_weights

    def _mix(self, z: Array, anchors: Array, known: Array) -> Array:
        """The weighted mean of the anchors that are known, (B, C, H, 1)."""
        w = self.serving.weights
        logits = ops.where(known, z @ w["mixture.weight"].T + w["mixture.bias"], IMPOSSIBLE)
        return ops.total(ops.softmax(logits) * anchors)

    def _residuals(self, z: Array) -> Array:
        """Non-decreasing residual quantiles, (B, C, H, Q), as `Forecaster` makes them."""
        w, middle = self.serving.weights, self.serving.architecture.middle
        raw = z @ w["residual.weight"].T + w["residual.bias"]
        size = (raw + ops.sqrt(raw * raw + STEP_CURVATURE)) * 0.5
        centre, parts = raw[..., middle : middle + 1], []
        if middle > 0:
            parts.append(centre - ops.running_total(size[..., 0:middle], -1, reverse=True))
        parts.append(centre)
        if middle + 1 < w["residual.bias"].size:
            parts.append(centre + ops.running_total(size[..., middle + 1 :], -1))
        return ops.concat(parts)


def _floor(summary: Summary) -> Array:
    """Zero for channels that were never negative, which an uncentred spread shows: it equals the level."""
    never = ops.expand(summary.level >= summary.spread * NEARLY_ONE, 3)
    return ops.where(never, 0.0, np.float32(-np.inf))
