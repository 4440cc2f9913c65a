"""What a client wants to know of the future, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np

from app.engine.arrays import Floats, Index
from app.engine.inputs import NOTHING, Named, fit_future
from app.errors import InvalidRequest
from model.contract import Bundle


class Wish(msgspec.Struct, frozen=True):
    """A forecast of `horizon` steps at quantile `levels`, by default all that the model has, given what is known ahead."""

    horizon: int | None = None
    levels: tuple[float, ...] | None = None
    future: Named = NOTHING

    def under(self, bundle: Bundle) -> Selection:
        """The wish as this model can fulfil it; raises InvalidRequest when it cannot."""
        horizon = bundle.horizon if self.horizon is None else self.horizon
        if not 1 <= horizon <= bundle.horizon:
            raise InvalidRequest(f"horizon is {horizon}; model {bundle.name!r} forecasts 1 to {bundle.horizon} steps")
        levels = bundle.quantiles if self.levels is None else self.levels
        _check_levels(levels, bundle)
        return Selection(bundle, horizon, levels, fit_future(bundle, self.future))


class Forecast(msgspec.Struct, frozen=True):
    """Quantiles `values` (H, C, levels) of the steps from time `start` on, one every `frequency` seconds."""

    start: int
    frequency: int
    levels: tuple[float, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a model's quantiles (H, C, Q) is wanted. `future` (H, K') is what the model needs to know for it."""

    bundle: Bundle
    horizon: int
    levels: tuple[float, ...]
    future: Floats

    def forecast(self, quantiles: Floats, origin: int) -> Forecast:
        """The forecast after the observation at time `origin`, from quantiles (H, C, Q).

        Raises InvalidRequest when the model's numbers are not finite.
        """
        if not np.isfinite(quantiles).all():
            raise not_finite()
        return self.dated(self.wanted(quantiles), origin)

    def wanted(self, quantiles: Floats) -> Floats:
        """The part (…, horizon, C, levels) of quantiles (…, H, C, Q)."""
        return at_levels(self.levels, quantiles[..., : self.horizon, :, :], self.bundle.quantiles)

    def dated(self, values: Floats, origin: int) -> Forecast:
        """Wanted quantiles (horizon, C, levels) as the forecast after the observation at time `origin`."""
        frequency = self.bundle.frequency
        return Forecast(origin + frequency, frequency, self.levels, values)


def at_levels(levels: tuple[float, ...], quantiles: Floats, trained: tuple[float, ...]) -> Floats:
    """Quantiles (…, levels) from those of trained levels (…, Q), which enclose them; between two, interpolated linearly."""
    if levels == trained:
        return quantiles
    low, high, weight = _between(levels, trained)
    found: Floats = quantiles[..., low]
    if weight.any():
        found = found * (1 - weight) + quantiles[..., high] * weight
    return found


@lru_cache(maxsize=256)
def _between(levels: tuple[float, ...], trained: tuple[float, ...]) -> tuple[Index, Index, Floats]:
    """The trained levels on both sides of each level, and the weight of the upper one."""
    place = np.interp(levels, trained, np.arange(len(trained)))
    low = place.astype(np.intp)
    return low, np.minimum(low + 1, len(trained) - 1), (place - low).astype(np.float32)


def not_finite() -> InvalidRequest:
    return InvalidRequest("the model has no finite forecast after these values; send values of a usual size")


def _check_levels(levels: tuple[float, ...], bundle: Bundle) -> None:
    lowest, highest = bundle.quantiles[0], bundle.quantiles[-1]
    outside = next((level for level in levels if not lowest <= level <= highest), None)
    if outside is not None:
        raise InvalidRequest(
            f"quantile level {outside:g} is outside what model {bundle.name!r} was trained for, {lowest:g} to {highest:g}"
        )
    if not levels or len(set(levels)) < len(levels):
        raise InvalidRequest("quantile levels must be given once each, at least one")
