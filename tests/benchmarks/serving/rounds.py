"""Rounds: every scenario once in each, so that a change of the machine's pace meets all of them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from tests.benchmarks.serving.results import Results
from tests.benchmarks.serving.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Rounds:
    """How many rounds, how many seconds each scenario has in one, and a text that the names of those to be measured hold."""

    count: int
    seconds: float
    only: str = ""

    async def take(self, scenarios: Sequence[Scenario], results: Results, console: Console) -> None:
        """Add the samples of all rounds to the results. The garbage collector rests meanwhile."""
        wanted = self.wanted(scenarios)
        names = {scenario.name for scenario in wanted}
        for scenario in wanted:
            results.samples[scenario.name] = []
            results.floors[scenario.name] = scenario.floor if scenario.floor in names else None
            results.units[scenario.name] = scenario.what
        gc.collect()
        gc.disable()
        with console.status("measuring") as status:
            for number in range(self.count):
                for scenario in wanted:
                    status.update(f"round {number + 1} of {self.count}: {scenario.name}")
                    results.samples[scenario.name].append(await scenario.take(self.seconds))
        gc.enable()

    def wanted(self, scenarios: Sequence[Scenario]) -> list[Scenario]:
        """The scenarios to be measured, with those they need."""
        names = {scenario.name for scenario in scenarios if self.only in scenario.name}
        needed = {
            name for scenario in scenarios if scenario.name in names for name in (scenario.floor, scenario.paced_by)
        }
        return [scenario for scenario in scenarios if scenario.name in names | needed]
