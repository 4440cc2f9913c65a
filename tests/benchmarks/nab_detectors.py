"""From surprises to anomaly scores, in several ways; and one published detector, as a check of the scoring.

Surprises come as −log10 of themselves, (n,) for the rows of a file.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from examples.alert import HOUR, SILENCE_HOURS, STRENGTH, Rule

SHORT = 10  # rows of the short mean of the anomaly likelihood, as published
WINDOW, SHIFT = 6_400, 100  # rows that the Windowed Gaussian looks at, and after how many it looks anew
Floats = NDArray[np.float64]


def first_alarms(scores: Floats, width: int) -> Floats:
    """Only scores above all of the last `width` rows, so that what goes on is reported once."""
    before = np.array([scores[max(0, i - width) : i].max(initial=0) for i in range(len(scores))])
    return np.where(scores > before, scores, 0)


def likelihood(scores: Floats) -> Floats:
    """How unlikely the mean of the last few scores is, were it a normal draw like the scores so far (Ahmad et al. 2017, eq. 5,
    https://doi.org/10.1016/j.neucom.2017.04.070), in units of their standard deviation.
    """
    count = np.arange(1, len(scores) + 1)
    mean = scores.cumsum() / count
    deviation = np.sqrt(np.maximum((scores**2).cumsum() / count - mean**2, 1e-12))
    short = np.convolve(scores, np.ones(SHORT) / SHORT)[: len(scores)]
    found: Floats = (short - mean) / deviation
    return found


def alarms(scores: Floats, probation: int, step: int) -> Floats:
    """1 where examples/alert.py with its defaults raises an alarm, 0 elsewhere; rows are `step` seconds apart."""
    rule = Rule(STRENGTH, SILENCE_HOURS * HOUR, probation * step)
    return np.array([rule.judge(i * step, 10.0**-score) > 0 for i, score in enumerate(scores.tolist())], float)


def windowed_gaussian(values: Floats) -> Floats:
    """NAB's own detector of that name (nab/detectors/gaussian): one minus the tail of a normal distribution around recent values."""
    found, mean, deviation = np.zeros(len(values)), 0.0, 1.0
    for i, value in enumerate(values.tolist()):
        if i:
            found[i] = 1 - 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2))
        if i < WINDOW or (i - WINDOW) % SHIFT == SHIFT - 1:
            recent = values[max(0, i + 1 - WINDOW) : i + 1]
            mean, deviation = float(recent.mean()), float(recent.std()) or 1e-6
    return found
