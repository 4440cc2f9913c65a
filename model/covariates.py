"""Covariates as the network sees them: a number and whether it is known, or which category it is, as a row of zeros and a one.

The features of several covariates are first the numbers, then whether each is known, then a place for every category and for
those that are not in the vocabulary or missing. The product of such a row with weights is the category's own row of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import features, ops
from model.contract import Covariate
from model.ops import Array


@dataclass(frozen=True, slots=True)
class Affine:
    """`x @ weights + bias`."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class Covariates:
    """Some of a forecaster's covariates, from an array (…, K) of them to features (…, `width`)."""

    def __init__(self, covariates: Sequence[Covariate]) -> None:
        self.count = len(covariates)
        self.numeric = np.array([i for i, one in enumerate(covariates) if not one.categories], np.int64)
        sizes = [(i, len(one.categories) + 1) for i, one in enumerate(covariates) if one.categories]
        self.columns = np.array([i for i, size in sizes for _ in range(size)], np.int64)  # (…, places) of categories
        self.other = _row(size - 1.0 for _, size in sizes for _ in range(size))
        self.low = _row(k or -np.inf for _, size in sizes for k in range(size))
        self.high = _row(k + 1 if k + 1 < size else np.inf for _, size in sizes for k in range(size))

    @property
    def width(self) -> int:
        return 2 * len(self.numeric) + len(self.columns)

    def places_of(self, some: Sequence[int]) -> NDArray[np.int64]:
        """Where the features of some of these covariates lie, in the order that they have by themselves."""
        chosen = np.flatnonzero(np.isin(self.numeric, some))
        categories = np.flatnonzero(np.isin(self.columns, some))
        n = len(self.numeric)
        return np.concatenate([chosen, n + chosen, 2 * n + categories])

    def seen(self, given: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """Features of covariates, of which numbers have a mean and a spread (K,); in training."""
        if not len(self.columns):
            return features.masked((given - mean) / spread)
        numbers = features.masked(((given - mean) / spread)[..., self.numeric])
        other, low, high = map(torch.from_numpy, (self.other, self.low, self.high))
        codes = given[..., self.columns]
        codes = torch.where(torch.isnan(codes), other, codes)
        return torch.cat([numbers, ((codes >= low) & ~(codes >= high)).to(given.dtype)], -1)

    def served(self, given: Array, mean: NDArray[np.float32], steps: int = 1) -> list[Array]:
        """What the features are made of, computed by numpy or written as a graph, for several steps side by side: each part's
        columns (…, steps·n) from an array (…, steps·K). A number is its deviation from the mean, zero where missing, and
        whether it is missing; `fold` makes weights for them.
        """
        parts: list[Array] = []
        if len(self.numeric):
            numbers = ops.take(given, self._each(self.numeric, steps), -1) if len(self.columns) else given
            deviation = numbers - np.tile(mean[self.numeric], steps)
            missing = ops.isnan(deviation)
            parts += [ops.where(missing, 0.0, deviation), ops.to_float(missing)]
        if len(self.columns):
            codes = ops.take(given, self._each(self.columns, steps), -1)
            other, low, high = (np.tile(bound, steps) for bound in (self.other, self.low, self.high))
            codes = ops.where(ops.isnan(codes), other, codes)
            parts.append(ops.to_float((codes >= low) & ~(codes >= high)))
        return parts

    @property
    def widths(self) -> list[int]:
        """How many columns each part that is served has for a step."""
        return [size for size in (len(self.numeric), len(self.numeric), len(self.columns)) if size]

    def fold(self, trained: NDArray[np.float32], spread: NDArray[np.float32]) -> Affine:
        """What is served needs these weights, where features need the trained ones (width, n)."""
        n = len(self.numeric)
        values, known, categories = np.split(trained, [n, 2 * n])
        return Affine(np.concatenate([values / spread[self.numeric, None], -known, categories]), known.sum(0))

    def _each(self, places: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
        """Places of covariates in each of the steps side by side."""
        return np.ravel(np.arange(steps)[:, None] * self.count + places)


def _row(numbers: Iterable[float]) -> NDArray[np.float32]:
    return np.array(list(numbers), np.float32)
