"""The exported graphs as the backtest uses them: in onnxruntime, as serving does, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract import Bundle
from model.parity import Session

CHUNK = 512  # steps of history that are encoded at once
Floats = NDArray[np.float32]
Times = NDArray[np.int64]


class Graphs:
    """The functions of a bundle in a directory. Letters for shapes are those of `model.contract`."""

    def __init__(self, directory: Path, bundle: Bundle) -> None:
        self.bundle = bundle
        self._encoder, self._decoder, self._explain = (
            Session(directory / f"{name}.onnx") for name in ("encoder", "decoder", "explain")
        )

    def encode(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> Floats:
        """The state (B, S) after observations (B, T, C), of which any number may come at once."""
        for start in range(0, values.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            state = self._encoder(self._observed(values[:, part], time[:, part], covariates[:, part], state))[0]
        return state

    def decode(self, state: Floats, time: Times, future: Floats) -> Floats:
        """Quantiles (B, H, C, Q) after the last observation, at `time` (B,), with covariates ahead (B, H, K')."""
        ahead = {"future_covariates": future} if self.bundle.known_ahead else {}
        return self._decoder({"state": state, "time": time, **ahead})[0]

    def explain(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> tuple[Floats, Floats]:
        """Update and reset gate at every step, each (B, T, L, N)."""
        update, reset, _ = self._explain(self._observed(values, time, covariates, state))
        return update, reset

    def fresh(self, rows: int) -> Floats:
        """The states of sessions that have seen nothing."""
        return np.zeros((rows, self.bundle.state_size), np.float32)

    def _observed(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> dict[str, NDArray[Any]]:
        known = {"covariates": covariates} if self.bundle.covariates else {}
        return {"values": values, "time": time, "state": state, **known}
