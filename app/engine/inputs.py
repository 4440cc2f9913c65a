"""What a client sent, fitted to the model it is for. Missing is NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import numpy as np

from app.engine.arrays import Floats, Kinds
from app.errors import InvalidRequest
from model.contract import Bundle, Covariate, kind_of

Named = Mapping[str, Floats | Kinds]
NOTHING: Named = MappingProxyType({})


def fit_values(bundle: Bundle, values: Floats) -> Floats:
    """Observations (T, C) from what a client sent, (T, any); raises InvalidRequest for another number of channels."""
    C = len(bundle.channels)
    if values.shape[1] == C:
        return values
    if np.isnan(values).all():  # a missing observation is written the same for any number of channels
        return np.full((len(values), C), np.nan, np.float32)
    raise InvalidRequest(
        f"an observation has {values.shape[1]} values, but model {bundle.name!r} has {C} channels: {', '.join(bundle.channels)}"
    )


def fit_covariates(bundle: Bundle, given: Named, steps: int) -> Floats:
    """Past covariates (T, K); raises InvalidRequest for an unknown name or another number of steps."""
    names = [covariate.name for covariate in bundle.covariates]
    _check_names("covariate", given, names)
    for name, column in given.items():
        if len(column) != steps:
            raise InvalidRequest(
                f"covariate {name!r} has {len(column)} values, expected {steps}, one for each observation"
            )
    return _columns(bundle.covariates, given, steps)


def fit_future(bundle: Bundle, given: Named) -> Floats:
    """Covariates known ahead (H, K'), missing where fewer than H were given; raises InvalidRequest for an unknown name."""
    _check_names("future covariate", given, bundle.known_ahead)
    for name, column in given.items():
        if len(column) > bundle.horizon:
            raise InvalidRequest(f"future covariate {name!r} has {len(column)} values, the horizon is {bundle.horizon}")
    ahead = [covariate for covariate in bundle.covariates if covariate.known_ahead]
    return _columns(ahead, given, bundle.horizon)


def _columns(covariates: Sequence[Covariate], given: Named, steps: int) -> Floats:
    table = np.full((steps, len(covariates)), np.nan, np.float32)
    for place, covariate in enumerate(covariates):
        column = given.get(covariate.name)
        if column is not None:
            table[: len(column), place] = _numbered(covariate, column)
    return table


def _numbered(covariate: Covariate, column: Floats | Kinds) -> Floats:
    """A column as the graphs take it, kinds by their numbers; raises InvalidRequest for a kind where there are none."""
    if covariate.categories:
        kinds = column if column.dtype == np.object_ else map(kind_of, column.tolist())
        return np.array([covariate.number(kind) for kind in kinds], np.float32)
    if column.dtype != np.object_:
        return cast("Floats", column)
    text = next(kind for kind in column if kind is not None)
    raise InvalidRequest(
        f"covariate {covariate.name!r} is a number, {text[:40]!r} is none; use null for a missing value"
    )


def _check_names(what: str, given: Named, known: Iterable[str]) -> None:
    known = list(known)
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        offer = f"it knows {', '.join(known)}" if known else "it has none"
        raise InvalidRequest(f"the model has no {what} {unknown[:40]!r}; {offer}")
