"""What single observations want, fitted to one model. Thousands want the same, again and again: it is fitted once."""

from __future__ import annotations

from functools import lru_cache

from app.engine.arrays import Floats
from app.engine.forecast import Selection, Wish
from app.engine.inputs import Named, fit_covariates
from model.contract import Bundle

MOST_KINDS = 256


class Fitting:
    """Wishes and covariates as a model takes them. What many have alike is the same object."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._alike = lru_cache(maxsize=MOST_KINDS)(self._under)
        self._no_covariates: Floats = fit_covariates(bundle, {}, 1)[0]
        self._no_covariates.flags.writeable = False

    def selection(self, wish: Wish | None) -> Selection | None:
        """The part of a forecast that is wished for; raises InvalidRequest when the model does not have it."""
        if wish is None:
            return None
        return wish.under(self.bundle) if wish.future else self._alike(wish.horizon, wish.levels)

    def covariates(self, given: Named) -> Floats:
        """Covariates (K,); raises InvalidRequest."""
        if not given:
            return self._no_covariates
        fitted: Floats = fit_covariates(self.bundle, given, 1)[0]
        return fitted

    def _under(self, horizon: int | None, levels: tuple[float, ...] | None) -> Selection:
        return Wish(horizon, levels).under(self.bundle)
