"""What a client sent, fitted to the model it is for. Missing is NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from app.engine.arrays import Floats
from app.errors import InvalidRequest
from model.contract import Bundle

Named = Mapping[str, Floats]
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
    return _columns(names, given, steps)


def fit_future(bundle: Bundle, given: Named) -> Floats:
    """Covariates known ahead (H, K'), missing where fewer than H were given; raises InvalidRequest for an unknown name."""
    _check_names("future covariate", given, bundle.known_ahead)
    for name, column in given.items():
        if len(column) > bundle.horizon:
            raise InvalidRequest(f"future covariate {name!r} has {len(column)} values, the horizon is {bundle.horizon}")
    return _columns(bundle.known_ahead, given, bundle.horizon)


def _columns(names: Iterable[str], given: Named, steps: int) -> Floats:
    names = list(names)
    table = np.full((steps, len(names)), np.nan, np.float32)
    for place, name in enumerate(names):
        if name in given:
            table[: len(given[name]), place] = given[name]
    return table


def _check_names(what: str, given: Named, known: Iterable[str]) -> None:
    known = list(known)
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        offer = f"it knows {', '.join(known)}" if known else "it has none"
        raise InvalidRequest(f"the model has no {what} {unknown[:40]!r}; {offer}")
