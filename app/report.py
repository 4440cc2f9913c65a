"""How a process of the service is, for those that ask how the whole service is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector


class Report(NamedTuple):
    """One process: which worker it is, and how many sessions, open sockets and requests that wait it has.

    `reasons` say why it should get no requests now.
    """

    worker: int
    pid: int
    sessions: int
    resident: int
    sockets: int
    waiting: int
    reasons: Sequence[str]
    metrics: Sequence[Metric]


class Together(Collector):
    """The metrics of several workers, told apart by the label `worker`."""

    def __init__(self, reports: Iterable[Report]) -> None:
        self._metrics: dict[str, Metric] = {}
        for report in reports:
            for found in report.metrics:
                metric = self._metrics.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                label = {"worker": str(report.worker)}
                metric.samples += [sample._replace(labels={**sample.labels, **label}) for sample in found.samples]

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.values()


def metrics_text(reports: Sequence[Report]) -> bytes:
    """The metrics of all workers in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(Together(reports))
    return generate_latest(registry)


def reasons_not_ready(reports: Sequence[Report]) -> list[str]:
    """Why the service should get no requests now, and which worker says so where there are several."""
    if len(reports) == 1:
        return list(reports[0].reasons)
    return [f"worker {report.worker}: {reason}" for report in reports for reason in report.reasons]
