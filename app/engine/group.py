"""The unit of work: rows, from one to thousands, that take the same number of steps under one model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.engine.arrays import Floats, Times
from app.engine.runtime import Model


@dataclass(slots=True, eq=False)
class Group:
    """N rows with T observations each, T ≥ 0, on their way from a state to the next.

    `values` (N, T, C), `time` (N, T) and `covariates` (N, T, K) go in; `state` (N, S) moves on as steps are `done`, and each
    finds its `surprise` (N, T, C).
    A forecast follows at `origin` (N,), the time of the last observation, where `future` (N, H, K') is given.
    """

    model: Model
    values: Floats
    time: Times
    covariates: Floats
    state: Floats
    origin: Times
    future: Floats | None = None
    done: int = 0
    quantiles: Floats | None = None
    surprise: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.surprise = np.empty_like(self.values)

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def steps(self) -> int:
        return int(self.time.shape[1])

    @property
    def remaining(self) -> int:
        return self.steps - self.done


def encode(groups: Sequence[Group], steps: int, rows_at_once: int) -> None:
    """Move groups of one model on by the same number of steps, as one batch. When it fails, no group has moved."""
    now = [slice(group.done, group.done + steps) for group in groups]
    model = groups[0].model
    states, surprises = _in_slices(
        rows_at_once,
        model.encode,
        _joined([group.values[:, part] for group, part in zip(groups, now, strict=True)]),
        _joined([group.time[:, part] for group, part in zip(groups, now, strict=True)]),
        _joined([group.covariates[:, part] for group, part in zip(groups, now, strict=True)]),
        _joined([group.state for group in groups]),
    )
    divided = zip(groups, _divide(groups, states), _divide(groups, surprises), now, strict=True)
    for group, state, surprise, part in divided:
        group.state, group.surprise[:, part] = state, surprise
        group.done += steps


def decode(groups: Sequence[Group], rows_at_once: int) -> None:
    """Give groups of one model, each with `future`, their quantiles (N, H, C, Q), as one batch."""
    (quantiles,) = _in_slices(
        rows_at_once,
        lambda *arrays: (groups[0].model.decode(*arrays),),
        _joined([group.state for group in groups]),
        _joined([group.origin for group in groups]),
        _joined([group.future for group in groups if group.future is not None]),
    )
    for group, part in zip(groups, _divide(groups, quantiles), strict=True):
        group.quantiles = part


def _in_slices(
    rows_at_once: int, function: Callable[..., tuple[Floats, ...]], *arrays: Floats | Times
) -> tuple[Floats, ...]:
    starts = range(0, len(arrays[0]), rows_at_once)
    parts = [function(*(array[start : start + rows_at_once] for array in arrays)) for start in starts]
    return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))


def _joined(arrays: Sequence[Any]) -> Any:
    """Arrays below each other; one alone is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _divide(groups: Sequence[Group], batch: Floats) -> list[Floats]:
    """Each group's own rows. They are copied, because a view of one row would keep the whole batch in memory."""
    if len(groups) == 1:
        return [batch]
    ends = itertools.accumulate(group.rows for group in groups)
    return [batch[end - group.rows : end].copy() for group, end in zip(groups, ends, strict=True)]
