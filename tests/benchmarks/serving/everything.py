"""One run of everything but a million sessions: the servers it needs, side by side, and the order of the scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from tests.benchmarks.serving.ages import ages
from tests.benchmarks.serving.bounds import Bound, bounds, measured
from tests.benchmarks.serving.floors import exchange, floors, stock_floors
from tests.benchmarks.serving.machine import Cores
from tests.benchmarks.serving.memory import memory_of_sessions, state_bytes
from tests.benchmarks.serving.others import naive, stateless
from tests.benchmarks.serving.pressure import pressure
from tests.benchmarks.serving.processes import program, tidegate
from tests.benchmarks.serving.raw import Raw
from tests.benchmarks.serving.results import Results
from tests.benchmarks.serving.rounds import Rounds
from tests.benchmarks.serving.scenarios import Scenario, onnxruntime
from tests.benchmarks.serving.service import at_half_load, columns, one_session, rest, single_steps
from tests.benchmarks.serving.sessions import open_sessions

PROGRAMS = "tests.benchmarks.serving"
SESSIONS_PER_SECOND_OF_MEASURING = 4000


async def measure(
    bundle: Path, directory: str, cores: Cores, rounds: Rounds, console: Console
) -> tuple[Results, list[Bound]]:
    """The results, and the bounds that they can be held against."""
    results = Results()
    with servers(bundle, directory, cores, results) as scenarios:
        await rounds.take(in_order(scenarios), results, console)
    if rounds.only in "memory":
        count = int(SESSIONS_PER_SECOND_OF_MEASURING * rounds.count * rounds.seconds)
        results.numbers["memory"] = memory_of_sessions(bundle.parents[1], directory, cores.server, count)
    return results, measured(bounds(state_bytes(bundle)), results)


@contextmanager
def servers(bundle: Path, directory: str, cores: Cores, results: Results) -> Iterator[list[Scenario]]:
    """The scenarios, for as long as their servers run."""
    models, core = bundle.parents[1], cores.server
    with ExitStack() as stack:
        sync = stack.enter_context(tidegate(models, directory, core, durability="sync"))
        interval = stack.enter_context(tidegate(models, directory, core, durability="interval"))
        floor = stack.enter_context(program(f"{PROGRAMS}.floor_server", core))
        stock = stack.enter_context(program(f"{PROGRAMS}.floor_server", core, "stock"))
        torch = stack.enter_context(program(f"{PROGRAMS}.naive_server", core))
        sizes = {codec: exchange(sync, open_sessions(sync, f"size-{codec}", 1), codec) for codec in ("json", "msgpack")}
        yield [
            *floors(floor, core, sizes),
            *stock_floors(stock, core, sizes["json"]),
            *onnxruntime(Raw(bundle), core),
            *single_steps(sync, core),
            *[one_session(server, kind, core) for server, kind in ((interval, "interval"), (sync, "sync"))],
            *columns(interval, core),
            *rest(sync, core),
            *naive(torch, core),
            stateless(sync, core),
            at_half_load(sync, core, results),
            *ages(interval, core),
            *pressure(sync, core, results),
        ]  # fmt: skip


def in_order(scenarios: list[Scenario]) -> list[Scenario]:
    """Floors right before the first scenario that is held against them, everything else as it was."""
    by_name = {scenario.name: scenario for scenario in scenarios}
    held = {scenario.floor for scenario in scenarios}
    ordered: dict[str, Scenario] = {}
    for scenario in scenarios:
        if scenario.floor in by_name:
            ordered.setdefault(scenario.floor, by_name[scenario.floor])
        if scenario.name not in held:
            ordered[scenario.name] = scenario
    return list(ordered.values())
