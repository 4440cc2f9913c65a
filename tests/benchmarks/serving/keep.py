"""Results that are kept: a line of JSON for every run, and a page that draws the last one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.benchmarks.serving import page
from tests.benchmarks.serving.bounds import Bound
from tests.benchmarks.serving.results import PERCENTILES, Results


def append(directory: Path, name: str, facts: Mapping[str, object], results: Results, bounds: Iterable[Bound]) -> None:
    """Add a run to `name`.jsonl, and draw it in `name`.html."""
    directory.mkdir(parents=True, exist_ok=True)
    run = document(facts, results, list(bounds))
    with (directory / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(run, ensure_ascii=False) + "\n")
    (directory / f"{name}.html").write_text(page.draw(run, results), encoding="utf-8")


def document(facts: Mapping[str, object], results: Results, bounds: list[Bound]) -> dict[str, object]:
    """Times in seconds, CPU in seconds per 1,000 observations; `rounds` are the rates one by one, `disturbed` is the share of the
    server's core that other programs had, `reached` how much of a bound is reached: 1 and more holds.
    """
    return {
        **facts,
        "scenarios": {name: scenario(results, name) for name in results.samples},
        "numbers": results.numbers,
        "bounds": [held(bound, results) for bound in bounds],
    }


def scenario(results: Results, name: str) -> dict[str, object]:
    floor = results.floors[name]
    return {
        "unit": results.units[name],
        "rate": figure(results.rate(name)),
        "rounds": [figure(sample.rate) for sample in results.samples[name]],
        "latency": {f"p{q:g}": figure(results.percentile(name, q)) for q in PERCENTILES},
        "cpu_per_1000": figure(results.cpu(name)),
        "client_core": figure(results.client_share(name)),
        "disturbed": figure(results.disturbance(name)),
        "floor": floor,
        "of_floor": figure(results.rates(name, floor)) if floor else None,
        "of_floor_by_cpu": figure(results.cpus(floor, name)) if floor else None,
    }


def held(bound: Bound, results: Results) -> dict[str, object]:
    value = bound.measure(results)
    return {
        "scenario": bound.scenario,
        "what": bound.what,
        "must": bound.text,
        "reached": figure(value / bound.limit if bound.is_least else bound.limit / value),
        "measured": figure(value),
        "holds": bound.holds(value),
    }


def figure(value: float) -> float | None:
    """Four digits of it; None for what never came."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
