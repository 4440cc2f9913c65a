"""How many observations lay inside their bands, as the state of a session counts it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.engine.arrays import Floats
from model.contract import Bundle, Calibration

Rows = slice | NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Counted:
    """Of `n` forecasts whose observation has come, so many were right."""

    n: int
    inside: int

    @property
    def empirical(self) -> float | None:
        return self.inside / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a model's calibration promises, and what was kept of it in each bucket of horizons and in all; channels together."""

    promise: Calibration
    buckets: tuple[Counted, ...]

    @property
    def total(self) -> Counted:
        return Counted(sum(one.n for one in self.buckets), sum(one.inside for one in self.buckets))


def coverage(bundle: Bundle, states: Floats, rows: Rows = slice(None)) -> Coverage | None:
    """What those rows of states (N, S) have counted together; nothing under a model whose bands do not correct themselves."""
    if bundle.calibration is None:
        return None
    part = bundle.state["coverage"]
    counts = states[:, part.span][rows].reshape(-1, *part.shape)
    judged, inside = counts.sum(axis=(0, 1), dtype=np.float64).tolist()
    buckets = tuple(Counted(round(n), round(hits)) for n, hits in zip(judged, inside, strict=True))
    return Coverage(bundle.calibration, buckets)
