"""What was measured: the samples of every scenario, round by round, and the ratios between scenarios."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.benchmarks.serving.load import Sample

PERCENTILES = (50, 99, 99.9)


@dataclass(slots=True)
class Results:
    """Samples by scenario, and numbers that are measured once. A ratio is the median of the rounds' ratios."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    floors: dict[str, str | None] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def rate(self, name: str) -> float:
        """Observations per second: the median over the rounds."""
        return self._median(name, lambda sample: sample.rate)

    def percentile(self, name: str, q: float) -> float:
        """Seconds of a request, over all rounds."""
        return float(np.percentile(np.concatenate([sample.seconds for sample in self.samples[name]]), q))

    def typical_percentile(self, name: str, q: float) -> float:
        """Seconds of a request: the median over the rounds, which one disturbance does not move."""
        return self._median(name, lambda sample: float(np.percentile(sample.seconds, q)))

    def cpu(self, name: str) -> float:
        """The server's CPU seconds per 1,000 observations."""
        return self._median(name, lambda sample: 1000 * sample.server_cpu / sample.observations)

    def client_share(self, name: str) -> float:
        """How much of its core the load generator used."""
        return self._median(name, lambda sample: sample.client_cpu / sample.wall)

    def disturbance(self, name: str) -> float:
        """How much of the server's core was used by others."""
        return self._median(name, lambda sample: sample.others_cpu / sample.wall)

    def rates(self, one: str, other: str) -> float:
        """The ratio of two rates."""
        return self._ratio(one, other, lambda sample: sample.rate)

    def cpus(self, one: str, other: str) -> float:
        """The ratio of two CPU times per observation."""
        return self._ratio(one, other, lambda sample: sample.server_cpu / sample.observations)

    def latencies(self, one: str, other: str, q: float) -> float:
        """The ratio of two percentiles of the latency."""
        return self._ratio(one, other, lambda sample: float(np.percentile(sample.seconds, q)))

    def _median(self, name: str, of: Callable[[Sample], float]) -> float:
        return float(np.median([of(sample) for sample in self.samples[name]]))

    def _ratio(self, one: str, other: str, of: Callable[[Sample], float]) -> float:
        pairs = zip(self.samples[one], self.samples[other], strict=True)
        return float(np.median([of(a) / of(b) for a, b in pairs]))
