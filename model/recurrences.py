"""The recurrences as they are served: one step in plain operators, and whole sequences, which ONNX has nodes for.

Given numpy arrays everything is computed by looping over the plain step, which makes numpy the reference for the nodes.
Weights are those of `model.cells`: W (I, G·N), U (N, G·N), b (G·N), gates in ONNX's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model import ops
from model.graph import Node
from model.ops import Array

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One layer: its kind of cell and its weights."""

    cell: str
    weights: Weights

    @classmethod
    def of(cls, cell: str, weights: Weights, prefix: str) -> Recurrence:
        """The layer whose weights stand under a prefix."""
        return cls(cell, {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)})

    @property
    def inputs(self) -> int:
        return int(self.weights["W"].shape[0])

    @property
    def units(self) -> int:
        return int(self.weights["U"].shape[0])

    @property
    def vectors(self) -> int:
        return 2 if self.cell == "lstm" else 1

    def step(self, x: Array, state: Array) -> tuple[Array, Array]:
        """Input (…, I) and state (…, V·N) to output (…, N) and next state."""
        return STEPS[self.cell](self.weights, x, state)

    def sequence(self, x: Array, state: Array) -> tuple[Array, Array]:
        """Inputs (T, R, I) and state (R, V·N) to outputs (T, R, N) and the last state."""
        if isinstance(x, Node):
            return {"lstm": _lstm_node, "rnn": _rnn_node}.get(self.cell, self._gru_node)(self.weights, x, state)
        outputs = []
        for x_t in x:
            output, state = self.step(x_t, state)
            outputs.append(output)
        return np.stack(outputs), state

    def gates(self, x: Array, outputs: Array, state: Array) -> tuple[Array, Array]:
        """How much of the past was kept and looked at, each (T, R, N): the update and the reset gate, an LSTM's forget and
        input gate, or none of it and all of it in a plain network; from the inputs (T, R, I), the outputs (T, R, N) and the
        state before them.
        """
        N, w = self.units, self.weights
        before = ops.concat([ops.expand(state[..., :N], 0), outputs[:-1]], 0)
        if self.cell == "rnn":
            return before * 0.0, before * 0.0 + 1.0
        bias = w["b"] + w.get("b_recurrent", np.float32(0))
        if self.cell == "lstm":
            a = ops.sigmoid(x @ w["W"][:, : 3 * N] + before @ w["U"][:, : 3 * N] + bias[: 3 * N])
            return a[..., 2 * N :], a[..., :N]
        a = ops.sigmoid(x @ w["W"][:, : 2 * N] + before @ w["U"][:, : 2 * N] + bias[: 2 * N])
        return a[..., :N], a[..., N:]

    def _gru_node(self, w: Weights, x: Node, state: Array) -> tuple[Array, Array]:
        reset_after = self.cell == "gru-reset-after"
        bias = np.concatenate([w["b"], w.get("b_recurrent", np.zeros_like(w["b"]))])
        outputs, last = x.graph.emit(
            "GRU", x, w["W"].T[None], w["U"].T[None], bias[None], None, ops.expand(state, 0),
            outputs=2, hidden_size=self.units, linear_before_reset=int(reset_after),
        )  # fmt: skip
        return ops.reshape(outputs, (0, -1, self.units)), ops.reshape(last, (-1, self.units))


def leaky_mean(x: Array, initial: Array, decays: NDArray[np.float64]) -> Array:
    """`s_t = decay·s_{t−1} + (1 − decay)·x_t` over (T, R, K) from (R, K), with K decays: an RNN node whose activation is the
    identity.
    """
    if isinstance(x, Node):
        K = len(decays)
        outputs, _ = x.graph.emit(
            "RNN", x, np.diag(1 - decays)[None].astype(np.float32), np.diag(decays)[None].astype(np.float32), None, None, ops.expand(initial, 0),
            outputs=2, hidden_size=K, activations=["Affine"], activation_alpha=[1.0], activation_beta=[0.0],
        )  # fmt: skip
        return ops.reshape(outputs, (0, -1, K))
    s, outputs = initial, []
    for x_t in x:
        s = leaky_step(x_t, s, decays)
        outputs.append(s)
    return np.stack(outputs)


def leaky_step(x: Array, before: Array, decays: NDArray[np.float64]) -> Array:
    """One step of `leaky_mean`, over any axes."""
    return x * (1 - decays).astype(np.float32) + before * decays.astype(np.float32)


def _gru_step(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    """Cho et al. 2014, eq. 5-8: the reset gate acts before the product."""
    N = w["U"].shape[0]
    zr = ops.sigmoid(x @ w["W"][:, : 2 * N] + h @ w["U"][:, : 2 * N] + w["b"][: 2 * N])
    z, r = zr[..., :N], zr[..., N:]
    c = ops.tanh(x @ w["W"][:, 2 * N :] + (r * h) @ w["U"][:, 2 * N :] + w["b"][2 * N :])
    h = (1.0 - z) * c + z * h
    return h, h


def _reset_after_step(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    """The variant of torch and cuDNN: the reset gate acts after the product, which has a bias of its own."""
    N = w["U"].shape[0]
    a, u = x @ w["W"] + w["b"], h @ w["U"] + w["b_recurrent"]
    zr = ops.sigmoid(a[..., : 2 * N] + u[..., : 2 * N])
    z, r = zr[..., :N], zr[..., N:]
    c = ops.tanh(r * u[..., 2 * N :] + a[..., 2 * N :])
    h = z * (h - c) + c
    return h, h


def _lstm_step(w: Weights, x: Array, state: Array) -> tuple[Array, Array]:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates in the order i, o, f, c."""
    N = w["U"].shape[0]
    h, c = state[..., :N], state[..., N:]
    a = x @ w["W"] + h @ w["U"] + w["b"]
    iof, g = ops.sigmoid(a[..., : 3 * N]), ops.tanh(a[..., 3 * N :])
    c = iof[..., 2 * N :] * c + iof[..., :N] * g
    h = iof[..., N : 2 * N] * ops.tanh(c)
    return h, ops.concat([h, c])


def _rnn_step(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    """Elman 1990."""
    h = ops.tanh(x @ w["W"] + h @ w["U"] + w["b"])
    return h, h


def _rnn_node(w: Weights, x: Node, state: Array) -> tuple[Array, Array]:
    N = int(w["U"].shape[0])
    bias = np.concatenate([w["b"], np.zeros_like(w["b"])])
    outputs, last = x.graph.emit(
        "RNN", x, w["W"].T[None], w["U"].T[None], bias[None], None, ops.expand(state, 0), outputs=2, hidden_size=N
    )
    return ops.reshape(outputs, (0, -1, N)), ops.reshape(last, (-1, N))


def _lstm_node(w: Weights, x: Node, state: Array) -> tuple[Array, Array]:
    N = int(w["U"].shape[0])
    h, c = state[..., :N], state[..., N:]
    bias = np.concatenate([w["b"], np.zeros_like(w["b"])])
    outputs, h, c = x.graph.emit(
        "LSTM", x, w["W"].T[None], w["U"].T[None], bias[None], None, ops.expand(h, 0), ops.expand(c, 0),
        outputs=3, hidden_size=N,
    )  # fmt: skip
    last = ops.concat([ops.reshape(h, (-1, N)), ops.reshape(c, (-1, N))])
    return ops.reshape(outputs, (0, -1, N)), cast("Array", last)


STEPS = {"gru": _gru_step, "gru-reset-after": _reset_after_step, "lstm": _lstm_step, "rnn": _rnn_step}
