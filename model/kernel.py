"""The training kernel of the GRU of Cho et al. 2014: all steps forward, and a backward written by hand.

Three things make it fast on a CPU without a compiler. Whatever is not sequential is one product over all steps. Those
products are 1×1 convolutions, which torch hands to oneDNN; its matrix products go to MKL, which took twice as long on AMD's
processors. And the small products of single steps run on one thread, because two took longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

SMALL = 2**22  # multiply-adds in a product that one thread does no slower than several


class ChoGRU(torch.autograd.Function):
    """The reset-before GRU: x (T, B, I), W (I, 3N), U (N, 3N), b (3N) and the state at its start (B, N), to which no gradient
    goes, to hidden states (T, B, N).

    Gates come in the order z, r, candidate. A candidate's tanh(a) is computed as 2σ(2a) − 1, which torch does faster.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, U: Tensor, b: Tensor, start: Tensor) -> Tensor:
        steps, batch, N = *x.shape[:2], U.shape[0]
        zr, c = multiply(x, W[:, : 2 * N], b[: 2 * N]), multiply(x, W[:, 2 * N :], b[2 * N :])
        U_zr, U_c = U[:, : 2 * N].contiguous(), U[:, 2 * N :].contiguous()
        h = x.new_empty(steps + 1, batch, N)
        h[0] = start
        rh = torch.empty_like(h[0])
        one = torch.ones_like(rh)
        minus_one = -one
        hidden = h.unbind(0)
        with one_thread(U_zr.numel() * batch):
            for zr_t, z, r, c_t, before, after in zip(
                zr, zr[..., :N], zr[..., N:], c, hidden, hidden[1:], strict=False
            ):
                zr_t.addmm_(before, U_zr).sigmoid_()
                torch.mul(r, before, out=rh)
                c_t.addmm_(rh, U_c, beta=2, alpha=2).sigmoid_()
                torch.lerp(minus_one, one, c_t, out=c_t)
                torch.lerp(c_t, before, z, out=after)  # z∘h + (1 − z)∘c
        ctx.save_for_backward(x, W, U, zr, c, h)
        return h[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        x, W, U, zr, c, h = ctx.saved_tensors
        N, before = U.shape[0], h[:-1]
        z, r = zr[..., :N], zr[..., N:]
        d_zr, d_c = _slopes(zr, c, before)
        d_z, d_r = d_zr[..., :N], d_zr[..., N:]
        d_h, d_rh = torch.zeros_like(h[0]), torch.empty_like(h[0])
        U_zr, U_c = U[:, : 2 * N].t().contiguous(), U[:, 2 * N :].t().contiguous()
        backwards = [along.unbind(0)[::-1] for along in (grads[0], z, r, d_zr, d_z, d_r, d_c)]
        with one_thread(U_zr.numel() * h.shape[1]):
            for g, z_t, r_t, d_zr_t, d_z_t, d_r_t, d_c_t in zip(*backwards, strict=True):
                d_h.add_(g)
                d_c_t.mul_(d_h)
                torch.mm(d_c_t, U_c, out=d_rh)
                d_z_t.mul_(d_h)
                d_r_t.mul_(d_rh)
                d_h.mul_(z_t).addcmul_(d_rh, r_t).addmm_(d_zr_t, U_zr)
        d_x = multiply(d_zr, W[:, : 2 * N].t()).add_(multiply(d_c, W[:, 2 * N :].t()))
        d_W = torch.cat([weight_gradient(x, d_zr), weight_gradient(x, d_c)], 1)
        d_U = torch.cat([weight_gradient(before, d_zr), weight_gradient(r * before, d_c)], 1)
        return d_x, d_W, d_U, torch.cat([d_zr.sum((0, 1)), d_c.sum((0, 1))]), None


def _slopes(zr: Tensor, c: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """How what follows moves with the gates' and the candidates' inputs: of z and c as a share of h's gradient, of r of r∘h's."""
    N = c.shape[-1]
    by_zr = torch.addcmul(zr, zr, zr, value=-1)  # σ′ = σ − σ²
    by_zr[..., :N].mul_(before - c)
    by_zr[..., N:].mul_(before)
    by_c = torch.addcmul(c.new_ones(()), c, c, value=-1)  # tanh′ = 1 − tanh²
    return by_zr, by_c.addcmul_(by_c, zr[..., :N], value=-1)


def multiply(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    """The product of x (T, B, I) and W (I, O), plus b (O)."""
    return functional.conv2d(_image(x), W.t()[..., None, None], b).permute(0, 2, 3, 1).squeeze(2)


def weight_gradient(x: Tensor, d: Tensor) -> Tensor:
    """The gradient (I, O) of the weights that made what has the gradient d (T, B, O) of x (T, B, I)."""
    kernel = (d.shape[-1], x.shape[-1], 1, 1)
    gradient: Tensor = conv2d_weight(_image(x), kernel, _image(d))[..., 0, 0].t()
    return gradient


def _image(x: Tensor) -> Tensor:
    """(T, B, n) as T pictures of B pixels with n colours, channels last, without a copy."""
    return x[:, :, None].permute(0, 3, 1, 2)


@contextmanager
def one_thread(multiply_adds: int) -> Iterator[None]:
    """One thread for a loop of products of such a size, if that is small."""
    threads = torch.get_num_threads()
    if threads == 1 or multiply_adds > SMALL:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
