"""What a forecaster is before it has learned anything."""

from __future__ import annotations

from dataclasses import dataclass

from model.contract import Covariate

LEAST_RECENT = 64


@dataclass(frozen=True, slots=True)
class Architecture:
    """The choices a forecaster is built from. Times are in steps of the grid unless they say seconds.

    `seasons` are seasonal periods, `cycles` are calendar periods in seconds with the number of their harmonics, `signed`
    says that values may be negative, `by_change` that forecasts are made in units of the seasonal change and not of the
    spread, as it takes several series to need, `calibrate` that bands correct themselves as observations come, `steady` for
    how many steps covariates known ahead stay about as they are. `width`, `units`, `context` and `head` are the widths of
    the network, in its order, and `shapes` is of how many shapes over the horizon a forecast's features are made.
    """

    frequency: int  # seconds
    horizon: int
    quantiles: tuple[float, ...]
    channels: tuple[str, ...]
    covariates: tuple[Covariate, ...] = ()
    seasons: tuple[int, ...] = ()
    cycles: tuple[tuple[int, int], ...] = ()
    signed: bool = False
    by_change: bool = False
    calibrate: bool = True
    steady: int = 10_000
    cell: str = "gru"
    layers: int = 1
    units: int = 64
    width: int = 64
    context: int = 128
    head: int = 32
    shapes: int = 16

    @property
    def longest(self) -> int:
        """The longest season, 1 where there is none."""
        return max(self.seasons, default=1)

    @property
    def shortest(self) -> int:
        """The shortest season, 1 where there is none."""
        return min(self.seasons, default=1)

    @property
    def recent_steps(self) -> int:
        """How many raw observations the state remembers: two of the longest seasons."""
        return max(LEAST_RECENT, 2 * self.longest)

    @property
    def lags(self) -> tuple[int, ...]:
        """Lags behind the newest observation: 1, and for each season those that its next step had a season ago."""
        return tuple(sorted({1, *(lag for season in self.seasons for lag in (season - 1, season) if lag > 0)}))

    @property
    def differences(self) -> tuple[int, ...]:
        """Lags of which the size of change is followed: how rough the series is from step to step and season to season."""
        return (1, *self.seasons)

    @property
    def anchors(self) -> int:
        """How many plain forecasts the network mixes."""
        return 2 + 2 * len(self.seasons)

    @property
    def reference(self) -> int:
        """Which of them the others are seen from: the newest at the same phase of the shortest season, or the last value."""
        return 3 if self.seasons else 0

    @property
    def middle(self) -> int:
        """Which quantile level is nearest the median."""
        return min(range(len(self.quantiles)), key=lambda i: abs(self.quantiles[i] - 0.5))

    @property
    def known_ahead(self) -> list[int]:
        """Which covariates are also given for the steps being forecast."""
        return [i for i, covariate in enumerate(self.covariates) if covariate.known_ahead]
