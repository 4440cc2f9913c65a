"""Covariates as the network sees them: a number and whether it is known, or which category it is, as a row of zeros and a one.

The features of several covariates are first the numbers, then whether each is known, then a place for every category and for
those that are not in the vocabulary or missing. The product of such a row with weights is the category's own row of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import features, ops
from model.contract import Covariate
from model.ops import Array


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

    def served(self, given: Array, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> Array:
        """As `seen`, computed by numpy or written as a graph."""
        if not len(self.columns):
            return ops.masked((given - mean) * (1 / spread))
        codes = ops.take(given, self.columns, -1)
        codes = ops.where(ops.isnan(codes), self.other, codes)
        places = ops.to_float((codes >= self.low) & ~(codes >= self.high))
        if not len(self.numeric):
            return places
        numbers = ops.take(given, self.numeric, -1)
        numbers = ops.masked((numbers - mean[self.numeric]) * (1 / spread[self.numeric]))
        return ops.concat([numbers, places])


def _row(numbers: Iterable[float]) -> NDArray[np.float32]:
    return np.array(list(numbers), np.float32)
