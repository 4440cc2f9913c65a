"""A comparison from data to page, in the order in which it happens."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from training.compare import findings
from training.compare.adding import LENGTHS, Attempt, attempt
from training.compare.contestants import TITLES, Contestant, contestants, learn
from training.compare.findings import Judged
from training.compare.judging import Latency, judge, latencies
from training.compare.page import render
from training.compare.race import race
from training.compare.tables import tables
from training.config import FitConfig
from training.data import Data
from training.errors import InputError
from training.facts import facts
from training.metrics import Document
from training.options import Comparison
from training.summary import describe_data

PAGE, DOCUMENT = "comparison.html", "comparison.json"


def run(comparison: Comparison, data: Data, arguments: Sequence[str], console: Console) -> None:
    """Fit all cells, judge them, probe their memory, race the kernel; print what was found and write it down.

    Raises InputError when the directory of the report cannot be written, or a fit diverges.
    """
    config = comparison.config
    _prepare(comparison.report)
    console.print(describe_data(config, data.panel, data.split))
    torch.set_num_threads(config.threads)
    judged: list[Judged] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(config.seed, config.seed + comparison.seeds):
            competing = fit(data, config, seed, console)
            console.print("Judging the exported graphs on the test part.")
            judged += [(one, judge(one, data, _made(Path(scratch, one.cell, str(seed))))) for one in competing]
        latency = serve(Path(scratch), judged, console)
    attempts = probe(comparison.probe_steps, config.seed, console)
    console.print("Racing the training kernel against torch's.")
    architecture = judged[0][0].fit.forecaster.architecture
    raced = race(judged[0][0].fit.window, config.batch, architecture.width, architecture.units)
    found = {
        **facts(config, arguments, data.digest, data.panel, data.split),
        "steps": config.steps,
        "seeds": list(range(config.seed, config.seed + comparison.seeds)),
        "test": {"rival": judged[0][1].rival, "wql": judged[0][1].rival_wql},
        "cells": findings.cells(judged, latency),
        "adding": findings.adding(attempts) if attempts else None,
        "kernel": findings.kernel(raced),
    }
    publish(found, comparison.report, console)


def fit(data: Data, config: FitConfig, seed: int, console: Console) -> list[Contestant]:
    """The fits of all cells with one seed."""
    competing = contestants(data.panel, data.split, config, seed)
    began = time.monotonic()
    for step in learn(competing):
        left = (time.monotonic() - began) / step * (config.steps - step)
        losses = "  ".join(f"{one.cell} {one.validation[step]:.4f}" for one in competing)
        console.print(f"seed {seed}, step {step:,} of {config.steps:,}, validation: {losses}  {left:.0f} s left")
    return competing


def serve(scratch: Path, judged: Sequence[Judged], console: Console) -> dict[str, list[Latency]]:
    """How long the graphs of each cell take, those of the first seed."""
    console.print("Timing the exported graphs.")
    first = judged[: len(TITLES)]
    bundles = {Path(scratch, one.cell, str(one.seed)): verdict.bundle for one, verdict in first}
    return {place.parent.name: found for place, found in latencies(bundles).items()}


def probe(steps: int, seed: int, console: Console) -> list[Attempt]:
    """All cells at all lengths of the adding problem; none where there are no steps to take."""
    attempts = []
    for length in LENGTHS if steps else ():
        for cell in TITLES:
            began = time.monotonic()
            found = attempt(cell, length, steps, seed)
            attempts.append(found)
            told = "not solved" if found.solved_at is None else f"solved at step {found.solved_at:,}"
            taken = time.monotonic() - began
            console.print(f"adding, {length} steps, {cell}: {told}, lowest error {found.best:.4f}  {taken:.0f} s")
    return attempts


def publish(found: Document, directory: Path, console: Console) -> None:
    """Print the tables and write page and document."""
    for table in tables(found):
        console.print(table.printed())
    text = json.dumps(found, indent=2, allow_nan=False) + "\n"
    (directory / DOCUMENT).write_text(text, encoding="utf-8")
    (directory / PAGE).write_text(render(found), encoding="utf-8")
    console.print(f"Wrote {directory / PAGE} and {directory / DOCUMENT}.")


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def _prepare(directory: Path) -> None:
    """Make the directory of the report; raises InputError when it cannot be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".writable").touch()
        (directory / ".writable").unlink()
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error.strerror}); name another --report") from error
