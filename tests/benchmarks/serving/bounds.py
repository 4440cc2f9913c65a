"""What must hold, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.benchmarks.serving.ages import OLD_NAME, YOUNG_NAME
from tests.benchmarks.serving.pressure import KINDS, QUIET
from tests.benchmarks.serving.results import Results

Measure = Callable[[Results], float]
MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True)
class Bound:
    """A measurement of a scenario and the limit that it must reach, or may not pass."""

    scenario: str
    what: str
    measure: Measure
    limit: float
    is_least: bool = True
    other: str | None = None

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.is_least else value <= self.limit

    @property
    def text(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {self.limit:g}"


def rate(one: str, other: str, least: float) -> Bound:
    return Bound(one, f"rate ÷ {other}", lambda results: results.rates(one, other), least, other=other)


def latency(one: str, other: str, q: float, most: float) -> Bound:
    return Bound(
        one, f"p{q:g} ÷ {other}", lambda results: results.latencies(one, other, q), most, is_least=False, other=other
    )


def p99_ms(scenario: str, most: float) -> Bound:
    def measure(results: Results) -> float:
        return results.typical_percentile(scenario, 99) / MILLISECOND

    return Bound(scenario, "p99 in ms", measure, most, is_least=False)


def cpu(one: str, other: str, least: float) -> Bound:
    return Bound(one, f"CPU of {other} ÷ own", lambda results: results.cpus(other, one), least, other=other)


def number(scenario: str, what: str, most: float) -> Bound:
    return Bound(scenario, what, lambda results: results.numbers[scenario], most, is_least=False)


def bounds(state_bytes: int) -> list[Bound]:
    """The numbers of the issue."""
    at_256 = "onnxruntime encode 256", 0.5
    both_at_256 = "onnxruntime encode+decode 256", 0.3
    naive_socket, naive_post = "naive torch WebSocket 64", "naive torch POST"
    apart = "1 × 64 sockets"
    return [
        rate("WebSocket json 64", "echo WebSocket text 64", 0.6),
        rate(f"WebSocket json {apart}", f"echo WebSocket text {apart}", 0.6),
        rate("WebSocket msgpack 64", "echo WebSocket binary 64", 0.65),
        rate(f"WebSocket msgpack {apart}", f"echo WebSocket binary {apart}", 0.65),
        latency("WebSocket json 1, interval", "echo WebSocket text 1", 50, 2),
        p99_ms("WebSocket json 1, sync", 3),
        rate("REST", "echo POST bare", 0.45),
        rate("columns json 256", *at_256),
        rate("columns msgpack 256", *at_256),
        rate("columns msgpack 256, forecasts", *both_at_256),
        rate("WebSocket json 64", naive_socket, 5),
        rate("REST", naive_post, 5),
        cpu("WebSocket json 64", "stateless, 168 each time", 20),
        cpu("REST", "stateless, 168 each time", 20),
        p99_ms("WebSocket json 64, half load", 5),
        latency(OLD_NAME, YOUNG_NAME, 50, 1.05),
        *(latency(name, QUIET, 99, 2) for name in KINDS),
        number("memory", "bytes per resident session", 1.25 * state_bytes + 200),
    ]


def measured(bounds: Iterable[Bound], results: Results) -> list[Bound]:
    """Those of which everything was measured."""
    there = results.samples.keys() | results.numbers.keys()
    return [bound for bound in bounds if {bound.scenario, bound.other or bound.scenario} <= there]
