"""Periods that a series shows by itself: peaks of its autocorrelation that also tell its later half from its earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_CORRELATION = 0.25  # a period ago
LEAST_RISE = 0.2  # of the correlation, from its lowest at a shorter lag
NEARLY_BEST = 0.9  # of the highest peak: the shortest such period is meant, not a multiple of it
LEAST_EXPLAINED = 0.1  # of the later half's variance, by the means of the earlier half
LEAST_REST = 0.02  # of the variance, beside what is known already
SCALES = (48, 240)  # steps over which a series is levelled before slower movements are looked at
CYCLES = 3  # that each half must show
OUTLIER = 6.0  # median deviations, beyond which values count as so far off and no farther


def periods(values: NDArray[np.float32], known: Sequence[int], longest: int, most: int) -> Iterator[int]:
    """Periods (steps) from 3 to `longest` of one series (T,), beside those that are known; NaN is missing."""
    series = _prepared(values)
    if series is None:
        return
    total = series.var()
    for period in known:
        series = _without(series, period)
    for _ in range(most):
        if series.var() <= LEAST_REST * total:
            return
        found = _strongest(series, min(longest, len(series) // (2 * CYCLES)))
        if found is None:
            return
        yield found
        series = _without(series, found)


def _prepared(values: NDArray[np.float32]) -> Floats | None:
    """A series without gaps, trend and spikes; None where it is mostly missing or does not move."""
    seen = np.flatnonzero(np.isfinite(values))
    if 2 * len(seen) < len(values) or len(seen) < 4 * CYCLES:
        return None
    steps = np.arange(len(values))
    series = np.interp(steps, seen, values[seen].astype(np.float64))
    series = series - np.polyval(np.polyfit(steps, series, 1), steps)
    middle = np.median(series)
    reach = OUTLIER * np.median(np.abs(series - middle))
    if reach > 0:
        series = np.clip(series, middle - reach, middle + reach)
    return series - series.mean() if series.var() > 0 else None


def _strongest(series: Floats, longest: int) -> int | None:
    """A period of the series, looked for among its quick movements first and then among slower ones."""
    for scale in sorted({min(scale, longest) for scale in (*SCALES, longest)}):
        moving = series - _smooth(series, scale)
        period = _candidate(moving, scale)
        if period is not None and _explained(moving, period) >= LEAST_EXPLAINED:
            return period
    return None


def _smooth(series: Floats, steps: int) -> Floats:
    """The mean of the values around each step, of fewer at both ends."""
    sums = np.concatenate([[0.0], np.cumsum(series)])
    at = np.arange(len(series))
    first, last = np.maximum(at - steps // 2, 0), np.minimum(at + steps - steps // 2, len(series))
    found: Floats = (sums[last] - sums[first]) / (last - first)
    return found


def _candidate(series: Floats, longest: int) -> int | None:
    """The period at which the autocorrelation peaks."""
    if longest < 3:
        return None
    correlation = _autocorrelation(series, longest + longest // 10 + 2)
    lowest = np.minimum.accumulate(correlation)
    peaks = [
        lag
        for lag in range(3, longest + 1)
        if correlation[lag] >= LEAST_CORRELATION
        and correlation[lag] - lowest[lag] >= LEAST_RISE
        and correlation[lag] >= correlation[max(1, lag - reach(lag)) : lag + reach(lag) + 1].max()
    ]
    best = max((correlation[lag] for lag in peaks), default=0.0)
    return next((lag for lag in peaks if correlation[lag] >= NEARLY_BEST * best), None)


def reach(period: int) -> int:
    """How many steps around a period are taken for the same."""
    return max(1, period // 10)


def _autocorrelation(series: Floats, lags: int) -> Floats:
    """Of lags 0 to `lags`, each the mean over the pairs that there are."""
    size = 1 << (len(series) + lags).bit_length()
    power = np.abs(np.fft.rfft(series, size)) ** 2
    summed = np.fft.irfft(power, size)[: lags + 1]
    found: Floats = summed / summed[0] * len(series) / (len(series) - np.arange(lags + 1))
    return found


def _explained(series: Floats, period: int) -> float:
    """The share of the later half's variance that the seasonal means of the earlier half explain."""
    half = len(series) // 2 // period * period
    shape = series[:half].reshape(-1, period).mean(0)
    later = series[half:]
    expected = shape[np.arange(len(later)) % period]
    return float(1 - (later - expected).var() / max(later.var(), np.finfo(float).tiny))


def _without(series: Floats, period: int) -> Floats:
    """The series without its mean at each phase of a period."""
    phase = np.arange(len(series)) % period
    means = np.bincount(phase, series, period) / np.maximum(np.bincount(phase, minlength=period), 1)
    found: Floats = series - means[phase]
    return found
