"""The table that is printed: one row for each scenario, and what must hold of it beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tests.benchmarks.serving.bounds import Bound
from tests.benchmarks.serving.results import PERCENTILES, Results

COLUMNS = {
    "scenario": "left", "per second": "right", "p50": "right", "p99": "right", "p99.9": "right", "CPU µs": "right",
    "client": "right", "others": "right", "floor": "left", "÷ floor": "right", "by CPU": "right", "must hold": "left", "measured": "right", "": "left",
}  # fmt: skip


def table(results: Results, bounds: Iterable[Bound], facts: Mapping[str, object]) -> Group:
    """Rates, latencies in ms, the server's CPU time per observation, how busy the client was and others on the server's core,
    and ratios to the floor: of the rates and, less moved by others on the machine, of what an observation costs in CPU time.
    """
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in COLUMNS.items():
        shown.add_column(name, justify=justify, no_wrap=True)
    by_scenario: dict[str, list[Bound]] = {}
    for bound in bounds:
        by_scenario.setdefault(bound.scenario, []).append(bound)
    for name in results.samples:
        add(shown, scenario_cells(results, name), bound_cells(results, by_scenario.get(name, [])))
    for name, number in results.numbers.items():
        add(shown, [name, f"{number:,.0f}", *[""] * 9], bound_cells(results, by_scenario.get(name, [])))
    return Group(Text(heading(facts)), shown)


def heading(facts: Mapping[str, object]) -> str:
    return (
        f"{facts['at']}, commit {facts['commit']}{' with changes' if facts['changed'] else ''}, {facts['cpu']}, "
        f"server on core {facts['pinned']['server']}, client on core {facts['pinned']['client']}, "
        f"load before {facts['load']:.1f}"
    )


def add(shown: Table, cells: list[str], bounds: Iterator[list[Text | str]]) -> None:
    first = next(bounds, ["", "", ""])
    shown.add_row(*cells, *first)
    for more in bounds:
        shown.add_row(*[""] * len(cells), *more)


def scenario_cells(results: Results, name: str) -> list[str]:
    floor = results.floors[name]
    return [
        name,
        f"{results.rate(name):,.0f}",
        *(f"{1e3 * results.percentile(name, q):.2f}" for q in PERCENTILES),
        f"{1e3 * results.cpu(name):.1f}",
        f"{100 * results.client_share(name):.0f} %",
        f"{100 * results.disturbance(name):.0f} %",
        floor or "",
        *([f"{ratio:.2f}" for ratio in (results.rates(name, floor), results.cpus(floor, name))] if floor else ["", ""]),
    ]


def bound_cells(results: Results, bounds: Iterable[Bound]) -> Iterator[list[Text | str]]:
    for bound in bounds:
        value = bound.measure(results)
        verdict = Text("holds", style="green") if bound.holds(value) else Text("FAILS", style="bold red")
        what = "÷ floor" if bound.what == f"rate ÷ {results.floors.get(bound.scenario)}" else bound.what
        yield [f"{what} {bound.text}", f"{value:.3g}", verdict]
