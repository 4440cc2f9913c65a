"""The calendar as it is served: sine waves at one time, and weights turned so that they mean the steps ahead of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.architecture import Architecture
from model.ops import Array


class Waves:
    """The waves of `features.calendar`, in its order: sine and cosine of each harmonic of each cycle."""

    def __init__(self, a: Architecture) -> None:
        harmonics = [(period, k) for period, count in a.cycles for k in range(1, count + 1)]
        self.frequency = a.frequency
        self.periods = np.array([period for period, _ in harmonics for _ in range(2)], np.int64)
        self.speeds = np.array([2 * math.pi * k / period for period, k in harmonics for _ in range(2)], np.float32)
        self.phases = np.array([phase for _ in harmonics for phase in (0.0, math.pi / 2)], np.float32)

    def at(self, time: Array) -> Array:
        """Waves at epoch seconds (…, 1), (…, waves)."""
        return ops.sin(ops.to_float(ops.remainder(time, self.periods)) * self.speeds + self.phases)

    def ahead(self, weights: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
        """Weights (waves + others, n) for waves some steps ahead, as weights for the waves now.

        sin(a + d) = sin a · cos d + cos a · sin d, and cos(a + d) = cos a · cos d − sin a · sin d.
        """
        count = len(self.periods)
        turn = self.speeds[::2].astype(np.float64) * self.frequency * steps
        sine, cosine = weights[:count:2].astype(np.float64), weights[1:count:2].astype(np.float64)
        turned = np.empty((count, weights.shape[1]))
        turned[::2] = np.cos(turn)[:, None] * sine - np.sin(turn)[:, None] * cosine
        turned[1::2] = np.sin(turn)[:, None] * sine + np.cos(turn)[:, None] * cosine
        return np.concatenate([turned.astype(np.float32), weights[count:]])
