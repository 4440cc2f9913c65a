"""Training examples: windows of series, each step knowing exactly what serving would know there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model import scaling
from model.forecaster import Forecaster, Tracked
from training.dataset import Series

CHANGE_WEIGHT = 0.08  # of errors in units of the seasonal change: about their balance with relative errors in M4's OWA
LEAST_CHANGE = 0.01  # of the spread: nearly constant series must not outweigh all others
TRACKED = [field.name for field in fields(Tracked) if field.name != "window"]


@dataclass(frozen=True, slots=True)
class Batch:
    """B windows of W steps, and the forecasts asked of them at n origins; O = n·B of these, each for C channels.

    `tracked` for B·C rows; `time` (B, W) and `covariates` (B, W, K); `origins` (n,); `origin_time` (O,), `future_covariates`
    (O, H, K'), `targets` (O·C, H) with NaN where there is nothing to learn, and `scale` (O·C, 1), the unit of the loss.
    `start` (layers, B·C, V·N) is the hidden state before the windows, zero if it is left out.
    """

    tracked: Tracked
    time: Tensor
    covariates: Tensor
    origins: Tensor
    origin_time: Tensor
    future_covariates: Tensor
    targets: Tensor
    scale: Tensor
    start: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A stretch of a series, from where a session of it starts; `seen` (T, C) are the values with some perhaps hidden.

    Targets are taken from rows `learn` of the stretch; windows begin at `starts`, chosen with a `weight`.
    """

    series: Series
    first: int
    seen: NDArray[np.float32]
    learn: tuple[int, int]
    starts: Sequence[int]
    weight: float = 1.0


class Windows:
    """Sessions laid end to end with room around each, so that a window is a range of rows."""

    def __init__(self, forecaster: Forecaster, sessions: Sequence[Session], length: int) -> None:
        self.forecaster, self.length = forecaster, length
        self.architecture = forecaster.architecture
        laid = [self._lay(session) for session in sessions]
        self.rows = {name: torch.cat([part[name] for part in laid]) for name in laid[0]}
        heads = np.cumsum([0, *(len(part["time"]) for part in laid[:-1])]) + self.architecture.recent_steps
        self.starts = torch.tensor(np.concatenate([head + s.starts for head, s in zip(heads, sessions, strict=True)]))
        weights = [np.full(len(s.starts), s.weight / max(1, len(s.starts))) for s in sessions]
        self.weights = torch.tensor(np.concatenate(weights))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """First rows of windows drawn at random."""
        return self.starts[torch.multinomial(self.weights, count, replacement=True, generator=generator)]

    def batch(self, starts: Tensor, origins: Tensor) -> Batch:
        """The windows that begin at rows `starts` (B,), asked for forecasts at steps `origins` (n,) of each."""
        a, W = self.architecture, self.length
        inside = (starts[:, None] + torch.arange(W)).t()  # (W, B)
        past = (starts[:, None] + torch.arange(-a.recent_steps, W)).t()
        tracked = Tracked(
            self.rows["seen"][past].flatten(1), *(self.rows[name][inside].flatten(1, 2) for name in TRACKED)
        )
        at = inside[origins].flatten()
        ahead = at[:, None] + torch.arange(1, a.horizon + 1)
        targets = self.rows["target"][ahead].transpose(1, 2).flatten(0, 1)
        return Batch(
            tracked=tracked,
            time=self.rows["time"][inside].t(),
            covariates=self.rows["covariates"][inside].transpose(0, 1),
            origins=origins,
            origin_time=self.rows["time"][at],
            future_covariates=self.rows["covariates"][ahead][..., a.known_ahead],
            targets=targets,
            scale=self.rows["scale"][at].flatten()[:, None],
        )

    def _lay(self, session: Session) -> dict[str, Tensor]:
        """A session's rows, after as many as it can remember and before as many as a window can ask for."""
        a, series = self.architecture, session.series
        steps, after = len(session.seen), self.length + a.horizon
        stop = session.first + steps
        truth = series.values[session.first : stop]
        learn = np.zeros(steps, bool)
        learn[slice(*session.learn)] = True
        seen = _room(torch.from_numpy(session.seen), 0, after, torch.nan)
        tracked = self.forecaster.track(seen[None])
        time = series.start + a.frequency * (session.first + np.arange(-a.recent_steps, steps + after))
        rows = {name: _room(getattr(tracked, name), a.recent_steps, 0, 0) for name in TRACKED}
        return rows | {
            "seen": _room(seen, a.recent_steps, 0, torch.nan),
            "target": _room(
                torch.from_numpy(np.where(learn[:, None], truth, np.nan)), a.recent_steps, after, torch.nan
            ),
            "time": torch.from_numpy(time),
            "covariates": _room(
                torch.from_numpy(series.covariates[session.first : stop]), a.recent_steps, after, torch.nan
            ),
            "scale": _room(self._scale(tracked, truth), a.recent_steps, 0, 1),
        }

    def _scale(self, tracked: Tracked, truth: NDArray[np.float32]) -> Tensor:
        """The unit of the loss at each step, (T, C): errors count relative to the values and, where there are several
        series, to seasonal changes too.
        """
        a = self.architecture
        size = torch.maximum(tracked.spread, torch.from_numpy(_size(truth, signed=a.signed)))
        if not a.by_change:
            return size
        change = scaling.change(tracked.spread, tracked.roughness, seasonal=bool(a.seasons)) / tracked.spread
        return size / (1 + CHANGE_WEIGHT / change.clamp_min(LEAST_CHANGE))


def run(forecaster: Forecaster, batch: Batch) -> Tensor:
    """Forecast quantiles (O·C, H, Q) of a batch."""
    outputs = forecaster(batch.tracked, batch.time, batch.covariates, batch.start)
    P, tracked = forecaster.architecture.recent_steps, batch.tracked
    window = tracked.window.unfold(0, P, 1)[batch.origins + 1]  # (n, B·C, P)
    at_origins = {name: getattr(tracked, name)[batch.origins].flatten(0, 1)[None] for name in TRACKED}
    origin = Tracked(window=window.flatten(0, 1).t(), **at_origins)
    return forecaster.forecast(outputs[batch.origins].flatten(0, 1), origin, batch.origin_time, batch.future_covariates)


def pinball(quantiles: Tensor, batch: Batch, levels: Tensor) -> Tensor:
    """The mean quantile loss over what was observed, in units of each row's scale."""
    error = (batch.targets[..., None] - quantiles) / batch.scale[..., None]
    loss = torch.maximum(levels * error, (levels - 1) * error)
    observed = ~torch.isnan(error)
    return torch.where(observed, loss, 0.0).sum() / observed.sum().clamp_min(1)


def _size(values: NDArray[np.float32], *, signed: bool) -> NDArray[np.float32]:
    """How large each channel's values typically are, (C,): the loss of a session's first steps, whose spread is not known
    yet, is measured in it.
    """
    known = np.isfinite(values)
    count = np.maximum(known.sum(0), 1)
    centre = np.where(known, values, 0).sum(0) / count if signed else 0
    size = np.where(known, np.abs(values - centre), 0).sum(0) / count
    return np.where(size > 0, size, 1).astype(np.float32)


def _room(rows: Tensor, before: int, after: int, fill: float) -> Tensor:
    return functional.pad(rows, (0, 0) * (rows.ndim - 1) + (before, after), value=fill)
