"""Recurrent cells behind one interface, as they are trained: the GRU of Cho et al. 2014, torch's variant of it, the LSTM.

A cell maps inputs (T, B, I) from a zero state to outputs (T, B, N). Gates come in ONNX's order. `model.recurrences` serves them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


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


class GRU(Cell):
    """The gated recurrent unit as published (Cho et al. 2014, https://arxiv.org/abs/1406.1078, eq. 5-8).

    The reset gate acts before the product: ONNX `GRU(linear_before_reset=0)`.
    """

    gates = 3

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        with torch.no_grad():
            self.b[:units] = 1.0  # start by remembering

    def forward(self, x: Tensor) -> Tensor:
        N = self.units
        x_zr = x @ self.W[:, : 2 * N] + self.b[: 2 * N]
        x_c = x @ self.W[:, 2 * N :] + self.b[2 * N :]
        outputs: Tensor = ChoGRU.apply(x_zr, x_c, self.U[:, : 2 * N], self.U[:, 2 * N :])  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return outputs


class ResetAfterGRU(Cell):
    """The variant of `torch.nn.GRU` and cuDNN: the reset gate acts after the product, which has a bias of its own."""

    gates = 3

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        self.b_recurrent = nn.Parameter(torch.zeros(3 * units))
        with torch.no_grad():
            self.b[:units] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        order = (1, 0, 2)  # ONNX's z, r, c in torch's order
        weights = [_reorder(w, order) for w in (self.W.t(), self.U.t(), self.b, self.b_recurrent)]
        start = x.new_zeros(1, x.shape[1], self.units)
        outputs, _ = torch.gru(x, start, weights, True, 1, 0.0, self.training, False, False)  # noqa: FBT003 - positional only
        return outputs


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with the forget gate of Gers et al. 2000."""

    gates = 4
    vectors = 2

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        with torch.no_grad():
            self.b[2 * units : 3 * units] = 1.0  # start by remembering

    def forward(self, x: Tensor) -> Tensor:
        order = (0, 2, 3, 1)  # ONNX's i, o, f, c in torch's order
        weights = [_reorder(w, order) for w in (self.W.t(), self.U.t(), self.b, torch.zeros_like(self.b))]
        start = x.new_zeros(1, x.shape[1], self.units)
        outputs, _, _ = torch.lstm(x, [start, start], weights, True, 1, 0.0, self.training, False, False)  # noqa: FBT003 - positional only
        return outputs


CELLS: dict[str, type[Cell]] = {"gru": GRU, "gru-reset-after": ResetAfterGRU, "lstm": LSTM}


class ChoGRU(torch.autograd.Function):
    """All T steps of the reset-before GRU from a zero state, with a hand-written backward.

    Inputs: the gate projections `x_zr` (T, B, 2N) and candidate projections `x_c` (T, B, N), both with biases, and the
    recurrent weights `U_zr` (N, 2N), `U_c` (N, N). Output: hidden states (T, B, N). The loops hold only what is sequential,
    two products a step each way; gradients of the weights are one product at the end.
    """

    @staticmethod
    def forward(ctx: Any, x_zr: Tensor, x_c: Tensor, U_zr: Tensor, U_c: Tensor) -> Tensor:
        steps, batch, N = x_c.shape
        zr, c = x_zr.clone(), x_c.clone()  # become gates and candidates in place
        rh = torch.empty_like(c)
        h = torch.zeros(steps + 1, batch, N, dtype=c.dtype)
        z, r = zr[..., :N], zr[..., N:]
        for zr_t, z_t, r_t, c_t, rh_t, before, after in zip(zr, z, r, c, rh, h[:-1], h[1:], strict=True):
            zr_t.addmm_(before, U_zr).sigmoid_()
            torch.mul(r_t, before, out=rh_t)
            c_t.addmm_(rh_t, U_c).tanh_()
            torch.lerp(c_t, before, z_t, out=after)  # z∘h + (1 − z)∘c
        ctx.save_for_backward(zr, c, rh, h, U_zr, U_c)
        return h[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, ...]:
        zr, c, rh, h, U_zr, U_c = ctx.saved_tensors
        N = c.shape[-1]
        z, r, before = zr[..., :N], zr[..., N:], h[:-1]
        slope_c = (1 - z) * (1 - c * c)
        slope_z = (before - c) * z * (1 - z)
        slope_r = before * r * (1 - r)
        d_zr, d_c = torch.empty_like(zr), torch.empty_like(c)
        d_h = torch.zeros_like(h[0])
        back_zr, back_c = U_zr.t().contiguous(), U_c.t().contiguous()
        for t in range(c.shape[0] - 1, -1, -1):
            d_h += grads[0][t]
            torch.mul(d_h, slope_c[t], out=d_c[t])
            d_rh = d_c[t] @ back_c
            torch.mul(d_h, slope_z[t], out=d_zr[t, :, :N])
            torch.mul(d_rh, slope_r[t], out=d_zr[t, :, N:])
            d_h = (d_h * z[t]).addcmul_(d_rh, r[t]).addmm_(d_zr[t], back_zr)
        d_U_zr = before.flatten(0, 1).t() @ d_zr.flatten(0, 1)
        d_U_c = rh.flatten(0, 1).t() @ d_c.flatten(0, 1)
        return d_zr, d_c, d_U_zr, d_U_c


def _reorder(weights: Tensor, order: tuple[int, ...]) -> Tensor:
    """Gate blocks of the leading axis in another library's order."""
    blocks = weights.chunk(len(order), dim=0)
    return torch.cat([blocks[i] for i in order], 0)
