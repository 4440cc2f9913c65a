"""What this process counts, by name. All names stand here."""

from __future__ import annotations

import math
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.engine.coverage import Counted, Coverage
from app.engine.engine import Tick

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The numbers of one application; each has a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.ticks = Counter("tidegate_ticks", "Batches computed", registry=registry)
        self.tick_rows = Histogram("tidegate_tick_rows", "Sessions in a batch", buckets=ROWS, registry=registry)
        self.tick_seconds = Histogram("tidegate_tick_seconds", "Time of a batch", buckets=SECONDS, registry=registry)
        self.commit_seconds = Histogram(
            "tidegate_commit_seconds", "Time to keep a batch", buckets=SECONDS, registry=registry
        )
        self.steps = Counter(
            "tidegate_steps", "Observations computed, histories and missing ones included", registry=registry
        )
        self.forecasts = Counter("tidegate_forecasts", "Forecasts made", registry=registry)
        self.sessions = Gauge("tidegate_sessions", "Sessions that exist", registry=registry)
        self.resident = Gauge("tidegate_sessions_resident", "Sessions in memory, ready to step", registry=registry)
        self.waiting = Gauge(
            "tidegate_queue_depth", "Requests that wait for the engine or are computed", registry=registry
        )
        self.sockets = Gauge("tidegate_sockets", "Open WebSockets", registry=registry)
        self._band_target = self._band("target", "Share of observations that should lie inside the band")
        self._band_coverage = self._band("coverage", "Share that did, for the sessions in memory; NaN before any came")
        self._band_forecasts = self._band("forecasts", "Forecasts that this share is of")
        self._requests = Counter(
            "tidegate_requests", "Requests answered", ("surface", "call", "code"), registry=registry
        )
        self._answered: dict[tuple[str, str, str], Counter] = {}

    def on_tick(self, tick: Tick) -> None:
        """Count what one tick did. Called on the compute thread."""
        if not (tick.tasks or tick.rows):
            return
        self.ticks.inc()
        self.tick_rows.observe(tick.rows)
        self.tick_seconds.observe(tick.seconds)
        self.steps.inc(tick.observations)
        self.forecasts.inc(tick.forecasts)
        if tick.commit_seconds:
            self.commit_seconds.observe(tick.commit_seconds)

    def follow(self, model: str, coverage: Callable[[], Coverage | None]) -> None:
        """Report how the bands of a model do, where it counts that."""
        now = coverage()
        if now is None:
            return
        self._band_target.labels(model).set(now.promise.target)
        self._band_coverage.labels(model).set_function(lambda: _share(_total(coverage)))
        self._band_forecasts.labels(model).set_function(lambda: _total(coverage).n)

    def answered(self, surface: str, call: str, code: str) -> None:
        """Count a request that was answered with a status or an error code."""
        labels = (surface, call, code)
        counter = self._answered.get(labels)
        if counter is None:
            counter = self._answered[labels] = self._requests.labels(*labels)
        counter.inc()

    def _band(self, name: str, what: str) -> Gauge:
        return Gauge(f"tidegate_band_{name}", what, ("model",), registry=self.registry)

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry)


def _share(counted: Counted) -> float:
    return math.nan if counted.empirical is None else counted.empirical


def _total(coverage: Callable[[], Coverage | None]) -> Counted:
    now = coverage()
    return Counted(0, 0) if now is None else now.total
