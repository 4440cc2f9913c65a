"""What is measured: every scenario is a name, the floor it is held against, and a way to take one sample of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.serving import raw
from tests.benchmarks.serving.connections import Open, opened
from tests.benchmarks.serving.load import Sample, closed_loop
from tests.benchmarks.serving.raw import Raw

Take = Callable[[float], Awaitable[Sample]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table; `what` is counted in its rate, and `paced_by` is the scenario whose rate sets its own."""

    name: str
    take: Take
    floor: str | None = None
    what: str = "steps"
    paced_by: str | None = None


def closed(
    name: str,
    openings: Sequence[Open],
    pid: int,
    core: int,
    floor: str | None = None,
    what: str = "steps",
) -> Scenario:
    """A closed loop on connections that are opened so."""

    async def take(seconds: float) -> Sample:
        async with opened(openings) as connections:
            return await closed_loop(connections, seconds, pid, core)

    return Scenario(name, take, floor, what)


def alone(name: str, run: raw.Run, observations: int, core: int) -> Scenario:
    """The graphs without a server. A quarter of the time is enough: its runs hardly differ."""

    async def take(seconds: float) -> Sample:
        return raw.measure(run, observations, seconds / 4, core)

    return Scenario(name, take, what="rows")


def onnxruntime(model: Raw, core: int) -> list[Scenario]:
    """The raw graphs at the sizes that ticks have, and at those of whole series."""
    runs = []
    for rows in (1, 64, 256):
        runs += [
            alone(f"onnxruntime encode {rows}", model.encode(rows), rows, core),
            alone(f"onnxruntime encode+decode {rows}", model.encode_and_decode(rows), rows, core),
        ]
    series = alone("onnxruntime 100 × 336", model.encode_and_decode(100, 336), 100, core)
    history = alone("onnxruntime 4 × 128", model.encode(4, 128), 4 * 128, core)
    return [*runs, series, history]
