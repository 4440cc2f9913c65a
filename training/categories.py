"""Covariates that are of a kind: their vocabularies, found in the training part."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.contract import Covariate
from training.dataset import Panel, Split
from training.errors import InputError

LEAST_SEEN = 3  # steps of the training part; what is rarer has nothing to teach
MOST = 200  # categories of a covariate, the most frequent ones


def settled(panel: Panel, split: Split) -> Panel:
    """The panel with the vocabularies that its training part shows; every other kind becomes the one place for others.

    Raises InputError where a covariate has no kind that is seen often enough.
    """
    covariates, columns = list(panel.covariates), [series.covariates.copy() for series in panel.series]
    for i, before in enumerate(panel.covariates):
        if before.categories:
            seen = [column[:stop, i] for column, stop in zip(columns, split.validate_from, strict=True)]
            after = covariates[i] = replace(before, categories=_vocabulary(before, np.concatenate(seen)))
            numbers = np.array([after.number(kind) for kind in before.categories], np.float32)
            for column in columns:
                known = ~np.isnan(column[:, i])
                column[known, i] = numbers[column[known, i].astype(np.int64)]
    pairs = zip(panel.series, columns, strict=True)
    return replace(
        panel,
        covariates=tuple(covariates),
        series=tuple(replace(series, covariates=column) for series, column in pairs),
    )


def hidden(covariates: NDArray[np.float32], panel: Panel, missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Covariates (T, K) whose kinds are missing at some steps (T,)."""
    found = covariates.copy()
    found[np.ix_(np.flatnonzero(missing), np.array(panel.kinds))] = np.nan
    return found


def _vocabulary(covariate: Covariate, numbers: NDArray[np.float32]) -> tuple[str, ...]:
    counts = Counter(numbers[~np.isnan(numbers)].astype(int).tolist())
    kept = [covariate.categories[number] for number, count in counts.most_common(MOST) if count >= LEAST_SEEN]
    if not kept:
        raise InputError(
            f"column {covariate.name!r} has no category that the training part shows {LEAST_SEEN} times; leave it out"
        )
    return tuple(sorted(kept))
