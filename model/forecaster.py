"""The forecaster as it is trained: raw observations in, raw quantiles out, every step a forecast origin.

    y_t ─► scaling, lags, calendar ─► Linear·tanh ─► GRU ─► h_t
    h_t, lags ─► SiLU context ─┬─► per horizon: weights over plain forecasts (anchors) + residual quantiles
    calendar, covariates ahead ┘

Direct multi-horizon quantiles from every step (MQ-RNN, Wen et al. 2017, https://arxiv.org/abs/1711.11053); anchors are the
streamable form of ES-RNN's seasonality (Smyl 2020). `model.serving` is the same forecaster with its past in a state vector.
Inside, sequences are time first and rows are (session, channel) pairs: R = B·C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from model import features, scaling
from model.architecture import Architecture
from model.cells import CELLS
from model.covariates import Covariates

IMPOSSIBLE = -1e9  # a logit
STEP_CURVATURE = 0.04


@dataclass(frozen=True, slots=True)
class Tracked:
    """What is known of each row at each of T steps without any learning: (T, R), and (T, R, differences) for roughness.

    The window (P + T, R) holds the P raw observations before the steps and the steps themselves.
    """

    window: Tensor
    level: Tensor
    spread: Tensor
    change: Tensor
    last: Tensor
    gap: Tensor
    age: Tensor
    roughness: Tensor
    never_negative: Tensor

    @property
    def past(self) -> int:
        return self.window.shape[0] - self.level.shape[0]

    def at(self, step: int) -> Tracked:
        """What is known at one step, with the window up to it."""
        rest = {f.name: getattr(self, f.name)[step : step + 1] for f in fields(self) if f.name != "window"}
        return Tracked(window=self.window[: self.past + step + 1], **rest)


class Forecaster(nn.Module):
    """A streaming multi-horizon quantile forecaster; see the module's drawing."""

    covariate_mean: Tensor
    covariate_spread: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        waves = sum(2 * harmonics for _, harmonics in a.cycles)
        own = 3 + 2 * len(a.lags) + len(a.differences)
        cell = CELLS[a.cell]
        self.own = nn.Linear(own + 1, a.width)
        self.known, self.known_ahead = Covariates(a.covariates), Covariates([a.covariates[i] for i in a.known_ahead])
        shared = waves + self.known.width
        self.shared = nn.Parameter(torch.empty(shared, a.width).uniform_(-1, 1) / math.sqrt(max(shared, 1)))
        self.channel = nn.Parameter(torch.zeros(len(a.channels), a.width))
        self.cells = nn.ModuleList([cell(a.width, a.units), *(cell(a.units, a.units) for _ in range(a.layers - 1))])
        self.context = nn.Linear(a.units + own, a.context)
        self.channel_context = nn.Parameter(torch.zeros(len(a.channels), a.context))
        self.amounts = nn.Linear(a.context, a.shapes * a.head)
        self.shapes = nn.Parameter(torch.randn(a.horizon, a.shapes) / math.sqrt(a.shapes))
        self.by_horizon = nn.Parameter(torch.zeros(a.horizon, a.head))
        self.ahead = nn.Linear(2 * a.anchors + waves + self.known_ahead.width, a.head, bias=False)
        self.mixture = nn.Linear(a.head, a.anchors)
        self.residual = nn.Linear(a.head, len(a.quantiles))
        self.register_buffer("covariate_mean", torch.zeros(len(a.covariates)))
        self.register_buffer("covariate_spread", torch.ones(len(a.covariates)))
        with torch.no_grad():  # neighbouring quantiles start about a tenth of the spread apart
            self.residual.weight.mul_(0.1)
            self.residual.bias.zero_()

    def track(self, values: Tensor) -> Tracked:
        """All that is known of series (B, T, C) from their start, without learning."""
        a = self.architecture
        y = values.transpose(0, 1).flatten(1)
        level, spread, change, never_negative = scaling.scale(y, scaling.decay(a.shortest), signed=a.signed)
        last, gap = features.fill_forward(y)
        age = torch.ones_like(y).cumsum(0)
        window = torch.cat([torch.full((a.recent_steps, y.shape[1]), torch.nan), y])
        before = features.lagged(window, a.recent_steps, a.differences)
        roughness = scaling.roughness(y, before, spread, scaling.decay(a.longest, scaling.ROUGHNESS_SEASONS))
        return Tracked(window, level, spread, change, last, gap, age, roughness, never_negative)

    def forward(self, tracked: Tracked, time: Tensor, covariates: Tensor, start: Tensor | None = None) -> Tensor:
        """Outputs of the recurrence (T, R, N) at times (B, T) with covariates (B, T, K), from the hidden state of each layer
        (layers, R, V·N), zero if it is left out.
        """
        a = self.architecture
        waves = features.calendar(time.t() + a.frequency, a.cycles)
        known = self.known.seen(covariates.transpose(0, 1), self.covariate_mean, self.covariate_spread)
        own = self.own(torch.cat([self.see(tracked), tracked.change[..., None]], 2))
        shared = torch.cat([waves, known], 2) @ self.shared
        x = torch.tanh(self._by_channel(own) + shared[:, :, None] + self.channel).flatten(1, 2)
        for cell, before in zip(self.cells, [None] * a.layers if start is None else start, strict=True):
            x = cell(x, before)
        return x

    def see(self, tracked: Tracked) -> Tensor:
        """The row's own past at each step, (T, R, ·): newest value, gap, age, lags and whether they are known, roughness."""
        a = self.architecture
        newest = features.normalise(tracked.last, tracked.level, tracked.spread, signed=a.signed)
        age = torch.clamp_max(tracked.age / a.longest, 1.0)
        own = torch.stack([newest, tracked.gap / (tracked.gap + features.GAP_SCALE), age], 2)
        lags = features.lagged(tracked.window, tracked.past, a.lags)
        centre = tracked.last if a.by_change else tracked.level
        lags = features.normalise(
            lags, centre[..., None], self._unit(tracked)[..., None], signed=a.signed or a.by_change
        )
        return torch.cat([own, features.masked(lags), tracked.roughness], 2)

    def forecast(self, outputs: Tensor, origin: Tracked, time: Tensor, future_covariates: Tensor) -> Tensor:
        """Quantiles (R, H, Q) in raw units from the recurrence's outputs (R, N) at origins, which are tracked for one step.

        `time` (B,) and `future_covariates` (B, H, K') are those of the sessions whose channels the rows are.
        """
        return self.floored(self.unbounded(outputs, origin, time, future_covariates), origin)

    def unbounded(self, outputs: Tensor, origin: Tracked, time: Tensor, future_covariates: Tensor) -> Tensor:
        """`forecast` before it is kept from going below zero."""
        a = self.architecture
        own, unit = self.see(origin)[0], self._unit(origin)[0]
        recent, level = origin.window[-a.recent_steps :], origin.level[0]
        anchors = features.anchors(recent, origin.last[0], level, a.seasons, a.horizon)
        reference = anchors[..., a.reference]
        reference = torch.where(torch.isnan(reference), level[:, None], reference)[..., None]
        anchors = (anchors - reference) / unit[:, None, None]

        context = self._by_channel(self.context(torch.cat([outputs, own], 1))) + self.channel_context
        amounts = self.amounts(functional.silu(context).flatten(0, 1)).unflatten(1, (a.shapes, a.head))
        by_horizon = self.shapes @ amounts + self.by_horizon
        bounded = features.masked(anchors.clamp(-features.BOUND, features.BOUND))
        z = torch.tanh(by_horizon + self.ahead(torch.cat([bounded, self._ahead(time, future_covariates)], 2)))
        unknown = torch.isnan(anchors)
        weights = torch.softmax(torch.where(unknown, IMPOSSIBLE, self.mixture(z)), 2)
        base = (weights * torch.where(unknown, 0.0, anchors)).sum(2, keepdim=True)
        return (base + self._residuals(z)) * unit[:, None, None] + reference

    def floored(self, quantiles: Tensor, origin: Tracked) -> Tensor:
        """Quantiles (R, H, Q) of which those of a row that was never negative are not either."""
        floor = torch.where(origin.never_negative[0], 0.0, -torch.inf)[:, None, None]
        return quantiles if self.architecture.signed else torch.maximum(quantiles, floor)

    def _unit(self, tracked: Tracked) -> Tensor:
        """In what the network sees lags and anchors and makes residuals, (T, R)."""
        a = self.architecture
        change = scaling.change(tracked.spread, tracked.roughness, seasonal=bool(a.seasons))
        return change if a.by_change else torch.minimum(tracked.spread, scaling.MOST_CHANGES * change)

    def _residuals(self, z: Tensor) -> Tensor:
        """Non-decreasing residual quantiles: the middle one is free, each other is a step of at least zero from the next."""
        raw, middle = self.residual(z), self.architecture.middle
        below = step_size(raw[..., :middle]).flip(-1).cumsum(-1).flip(-1)
        above = step_size(raw[..., middle + 1 :]).cumsum(-1)
        centre = raw[..., middle : middle + 1]
        return torch.cat([centre - below, centre, centre + above], -1)

    def _ahead(self, time: Tensor, future_covariates: Tensor) -> Tensor:
        """Calendar and known covariates of the H steps ahead, (R, H, ·)."""
        a = self.architecture
        waves = features.calendar(time[:, None] + a.frequency * torch.arange(1, a.horizon + 1), a.cycles)
        mean, spread = self.covariate_mean[a.known_ahead], self.covariate_spread[a.known_ahead]
        known = self.known_ahead.seen(future_covariates, mean, spread)
        return torch.cat([waves, known], 2).repeat_interleave(len(a.channels), 0)

    def _by_channel(self, rows: Tensor) -> Tensor:
        """(…, R, n) as (…, B, C, n)."""
        sessions = rows.shape[-2] // len(self.architecture.channels)
        return rows.reshape(*rows.shape[:-2], sessions, -1, rows.shape[-1])


def step_size(x: Tensor) -> Tensor:
    """A smooth positive function, cheap to serve: squareplus (Barron 2021, https://arxiv.org/abs/2112.11687)."""
    return (x + torch.sqrt(x * x + STEP_CURVATURE)) / 2
