"""`comparison.json`: all that a comparison found, as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from training.compare.adding import BASELINE, BATCH, LEARNING_RATE, SOLVED, UNITS, Attempt
from training.compare.contestants import TITLES, Contestant
from training.compare.judging import Latency, Verdict
from training.compare.race import Race
from training.metrics import Document, plain

WORTH = ("validation_loss", "wql", "mase", "coverage")
Judged = tuple[Contestant, Verdict]


def cells(judged: Sequence[Judged], latency: Mapping[str, Sequence[Latency]]) -> list[Document]:
    """A row to a cell, in the order of TITLES; what depends on the seed is a list over seeds."""
    return [_cell(cell, [pair for pair in judged if pair[0].cell == cell], latency[cell]) for cell in TITLES]


def _cell(cell: str, pairs: Sequence[Judged], latency: Sequence[Latency]) -> Document:
    bundle = pairs[0][1].bundle
    return {
        "cell": cell,
        "title": TITLES[cell],
        "parameters": bundle.parameters,
        "cell_parameters": pairs[0][1].cell_parameters,
        "state_floats": bundle.state_size,
        "hidden_floats": bundle.state["hidden"].size,
        "step_ms": [plain(one.step_ms) for one, _ in pairs],
        "best_step": [one.best_step for one, _ in pairs],
        "best_seconds": [plain(one.validated_at[one.best_step]) for one, _ in pairs],
        "validation_loss": [plain(one.validation[one.best_step]) for one, _ in pairs],
        "wql": [verdict.wql for _, verdict in pairs],
        "mase": [verdict.mase for _, verdict in pairs],
        "coverage": [verdict.coverage for _, verdict in pairs],
        "latency": [{name: plain(value) for name, value in asdict(one).items()} for one in latency],
        "courses": [_course(one) for one, _ in pairs],
    }


def _course(contestant: Contestant) -> Document:
    """The validations of one fit."""
    return {
        "seed": contestant.seed,
        "steps": list(contestant.validation),
        "seconds": [plain(value) for value in contestant.validated_at.values()],
        "validation": [plain(value) for value in contestant.validation.values()],
    }


def adding(attempts: Sequence[Attempt]) -> Document:
    """The adding problem: squared errors by length and cell."""
    return {
        "baseline": plain(BASELINE),
        "solved_below": SOLVED,
        "units": UNITS,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "attempts": [
            {
                "cell": one.cell,
                "length": one.length,
                "best": plain(one.best),
                "solved_at": one.solved_at,
                "steps": list(one.error),
                "errors": [plain(error) for error in one.error.values()],
            }
            for one in attempts
        ],
    }


def kernel(race: Race) -> Document:
    """The race of training kernels."""
    return asdict(race) | {
        "milliseconds": {name: [plain(part) for part in parts] for name, parts in race.milliseconds.items()},
        "ratios": {name: plain(ratio) for name, ratio in race.ratios.items()},
    }


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def figures(row: Document) -> dict[str, Any]:
    """A cell's figures as they are shown, means over seeds; times in ms, s and µs."""
    (one, many), several = row["latency"], ("step_ms", "best_step", "best_seconds", *WORTH)
    return {
        **{name: row[name] for name in ("title", "parameters", "cell_parameters", "hidden_floats", "state_floats")},
        **{name: mean(row[name]) for name in several},
        "observation_us": one["observation_us"],
        "forecast_us": one["forecast_us"],
        "row_us": many["forecast_us"] / many["rows"],
    }
