"""Recurrent cells behind one interface, as they are trained: the GRU of Cho et al. 2014, torch's variant of it, the LSTM,
and what they all improve on, the plain recurrent network.

A cell maps inputs (T, B, I) and the state at their start (B, V·N), zero if it is left out, to outputs (T, B, N). Gates come in
ONNX's order. `model.recurrences` serves them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.kernel import ChoGRU


class Cell(nn.Module):
    """What the cells share: one input projection for all gates and orthogonal recurrent weights.

    `vectors` of N floats are its state: an LSTM carries a memory beside its output.
    """

    gates: int
    vectors = 1

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.W = nn.Parameter(torch.empty(inputs, self.gates * units).uniform_(-1, 1) / math.sqrt(inputs))
        self.U = nn.Parameter(torch.cat([nn.init.orthogonal_(torch.empty(units, units)) for _ in range(self.gates)], 1))
        self.b = nn.Parameter(torch.zeros(self.gates * units))

    def start(self, x: Tensor, given: Tensor | None) -> Tensor:
        """The state before inputs (T, B, I), (B, V·N)."""
        return x.new_zeros(x.shape[1], self.vectors * self.units) if given is None else given


class GRU(Cell):
    """The gated recurrent unit as published (Cho et al. 2014, https://arxiv.org/abs/1406.1078, eq. 5-8).

    The reset gate acts before the product: ONNX `GRU(linear_before_reset=0)`.
    """

    gates = 3

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        with torch.no_grad():
            self.b[:units] = 1.0  # start by remembering

    def forward(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        outputs: Tensor = ChoGRU.apply(x, self.W, self.U, self.b, self.start(x, start))  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return outputs


class ResetAfterGRU(Cell):
    """The variant of `torch.nn.GRU` and cuDNN: the reset gate acts after the product, which has a bias of its own."""

    gates = 3

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        self.b_recurrent = nn.Parameter(torch.zeros(3 * units))
        with torch.no_grad():
            self.b[:units] = 1.0

    def forward(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        order = (1, 0, 2)  # ONNX's z, r, c in torch's order
        weights = [_reorder(w, order) for w in (self.W.t(), self.U.t(), self.b, self.b_recurrent)]
        outputs, _ = torch.gru(x, self.start(x, start)[None], weights, True, 1, 0.0, self.training, False, False)  # noqa: FBT003 - positional only
        return outputs


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with the forget gate of Gers et al. 2000."""

    gates = 4
    vectors = 2

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        with torch.no_grad():
            self.b[2 * units : 3 * units] = 1.0  # start by remembering

    def forward(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        order = (0, 2, 3, 1)  # ONNX's i, o, f, c in torch's order
        weights = [_reorder(w, order) for w in (self.W.t(), self.U.t(), self.b, torch.zeros_like(self.b))]
        state = [part.contiguous() for part in self.start(x, start)[None].chunk(self.vectors, -1)]
        outputs, _, _ = torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, False)  # noqa: FBT003 - positional only
        return outputs


class RNN(Cell):
    """The plain recurrent network (Elman 1990): h = tanh(W x + U h + b), with nothing that keeps the past from being overwritten."""

    gates = 1

    def forward(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        weights = [self.W.t(), self.U.t(), self.b, torch.zeros_like(self.b)]
        outputs, _ = torch.rnn_tanh(x, self.start(x, start)[None], weights, True, 1, 0.0, self.training, False, False)  # noqa: FBT003 - positional only
        return outputs


CELLS: dict[str, type[Cell]] = {"gru": GRU, "gru-reset-after": ResetAfterGRU, "lstm": LSTM, "rnn": RNN}


def _reorder(weights: Tensor, order: tuple[int, ...]) -> Tensor:
    """Gate blocks of the leading axis in another library's order."""
    blocks = weights.chunk(len(order), dim=0)
    return torch.cat([blocks[i] for i in order], 0)
