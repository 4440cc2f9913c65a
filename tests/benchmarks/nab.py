"""Surprise as an anomaly detector on the Numenta Anomaly Benchmark, by its own scoring rules and its standard profile.

The rules are those of Lavin & Ahmad 2015 (https://arxiv.org/abs/1510.03336, section II): the first 15 % of a file, at most 750 rows, are
probationary; a detection inside a labelled window earns the more the earlier it comes, only the best of a window counts, a window without
one costs 1, a detection outside costs up to .11, the less the closer it follows a window; one threshold for all files, the best one; 0 is
a detector that stays silent, 100 one that finds every window at once.

Models see nothing but probationary rows: one for all files of the same time step. Every row is then judged as it comes, by the exported
graphs. Rows count as consecutive steps, whatever their time stamps say.

python -m tests.benchmarks.nab --data DIR [--seeds 3] [--out DIR]

DIR holds nab/nab.parquet and nab/combined_windows.json. Before anything is fitted the scoring is held against a detector whose score is
published. "likelihood" is the score that Numenta's own detector makes of its raw one, "first alarms" keeps a surprise only where it is the largest of
the last 15 % of the file, and "alerting example" is examples/alert.py with its defaults, whose rule was chosen on this corpus (docs/alerting.md).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch

from model.export import export
from model.parity import Session
from tests.benchmarks.accuracy.report import circumstances, when
from tests.benchmarks.nab_detectors import alarms, first_alarms, likelihood, windowed_gaussian
from training.config import FitConfig
from training.dataset import Panel, Series, Split
from training.loop import Fit

PROBATION, LONGEST_PROBATION = 0.15, 750
FALSE_ALARM = 0.11  # weight; those of detections and of missed windows are 1
SMALLEST = 1e-38  # of a surprise, before its logarithm
DAY, CHUNK = 86_400, 512
HEAD = """# Numenta Anomaly Benchmark

Written by `python -m tests.benchmarks.nab`; docs/alerting.md says what it means. The normalised score of the standard profile at the best threshold, the
same for all files; the alerting example's is its default. Others: the scoreboard in the README of
https://github.com/numenta/NAB, as of NAB v1.0.
"""
PUBLISHED = {  # standard profile, the scoreboard in the README of https://github.com/numenta/NAB, "as of NAB v1.0"
    "Numenta HTM": 70.5, "CAD OSE": 69.9, "KNN CAD": 58.0, "Relative Entropy": 54.6, "Random Cut Forest": 51.7,
    "Twitter ADVec": 47.1, "Windowed Gaussian": 39.6, "Etsy Skyline": 35.7, "Bayesian Changepoint": 17.7, "EXPoSE": 16.4,
    "Random": 11.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """One series of the corpus: values (n,), seconds from row to row, and its windows as first and last row."""

    name: str
    values: np.ndarray
    step: int
    start: int
    windows: list[tuple[int, int]]

    @property
    def probation(self) -> int:
        return min(math.floor(PROBATION * len(self.values)), LONGEST_PROBATION)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps for each model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/nab")
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = read(options.data / "nab")
    check = score(files, {one.name: windowed_gaussian(one.values.astype(float)) for one in files})
    print(f"Windowed Gaussian {check:.1f}, published {PUBLISHED['Windowed Gaussian']}", flush=True)
    runs = []
    for seed in range(options.seeds):
        began = time.process_time()
        runs.append(detected(files, options.steps, seed) | {"cpu_seconds": time.process_time() - began})
        print(f"seed {seed}  " + "  ".join(f"{name} {value:.1f}" for name, value in runs[-1].items()), flush=True)
    write({**circumstances(), "check": check, "published": PUBLISHED, "runs": runs}, options.out)


def detected(files: list[File], steps: int, seed: int) -> dict[str, float]:
    """The score of each way from surprises to alarms, by models of one seed."""
    found: dict[str, np.ndarray] = {}
    for step in sorted({one.step for one in files}):
        found |= surprises([one for one in files if one.step == step], step, steps, seed)
    ways = {
        "surprise": lambda one, scores: scores,
        "surprise, likelihood": lambda one, scores: likelihood(scores),
        "surprise, first alarms": lambda one, scores: first_alarms(scores, round(PROBATION * len(scores))),
        "alerting example": lambda one, scores: alarms(scores, one.probation, one.step),
    }
    return {name: score(files, {one.name: way(one, found[one.name]) for one in files}) for name, way in ways.items()}


def write(found: dict[str, Any], directory: Path) -> None:
    """The document and its table, the best on top."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "nab.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    rows = [(value, f"| {name} | {value:.1f} | |") for name, value in found["published"].items()]
    rows.append((found["check"], f"| Windowed Gaussian, scored here | {found['check']:.1f} | |"))
    for name in found["runs"][0]:
        values = [run[name] for run in found["runs"]]
        seeds, mean = ", ".join(f"{value:.1f}" for value in values), statistics.fmean(values)
        rows += [] if name == "cpu_seconds" else [(mean, f"| **Tidegate: {name}** | **{mean:.1f}** | {seeds} |")]
    lines = [line for _, line in sorted(rows, key=lambda row: -row[0])]
    text = "\n".join(
        [
            HEAD,
            "| detector | score | seeds |",
            "|---|---|---|",
            *lines,
            "",
            when(found) + ".",
            "",
        ]
    )
    (directory / "README.md").write_text(text, encoding="utf-8")
    print(text)


def read(directory: Path) -> list[File]:
    table = pl.read_parquet(directory / "nab.parquet")
    labels = json.loads((directory / "combined_windows.json").read_text())
    files = []
    for (name,), rows in table.group_by("file", maintain_order=True):
        stamps = rows["timestamp"].dt.epoch("s").to_numpy()
        step = int(np.median(np.diff(stamps)))
        row_of = {moment: row for row, moment in reversed(list(enumerate(rows["timestamp"].to_list())))}
        windows = [tuple(row_of[datetime.fromisoformat(moment)] for moment in pair) for pair in labels[str(name)]]
        values = rows["value"].to_numpy().astype(np.float32)
        files.append(File(str(name), values, step, int(stamps[0]) // step * step, windows))
    return files


def surprises(files: list[File], step: int, steps: int, seed: int) -> dict[str, np.ndarray]:
    """How surprising each row is, as −log10 of the surprise, by a model of the probationary rows of these files."""
    series = tuple(
        Series(one.name, one.start, one.values[: one.probation, None], np.zeros((one.probation, 0), np.float32))
        for one in files
    )
    panel = Panel(step, ("value",), (), series, 0)
    split = Split(tuple(round(0.8 * one.probation) for one in files), tuple(one.probation for one in files))
    config = FitConfig(
        data=Path("unused.csv"), target=["value"], horizon=4, seasons=[DAY // step], steps=steps, window=96, burn_in=24, seed=seed, threads=1
    )  # fmt: skip
    fit = Fit(panel, split, config)
    for _ in fit:
        pass
    with TemporaryDirectory() as directory:
        bundle = export(fit.best(), Path(directory), name="nab", version="1", created_at="", training={})
        encoder = Session(Path(directory) / "encoder.onnx")
        return {one.name: judge(encoder, one, bundle.state_size) for one in files}


def judge(encoder: Session, file: File, state_size: int) -> np.ndarray:
    state, parts = np.zeros((1, state_size), np.float32), []
    time = file.start + file.step * np.arange(len(file.values))
    for begin in range(0, len(file.values), CHUNK):
        rows = slice(begin, begin + CHUNK)
        state, surprise = encoder({"values": file.values[None, rows, None], "time": time[None, rows], "state": state})
        parts.append(surprise[0, :, 0])
    return -np.log10(np.maximum(np.nan_to_num(np.concatenate(parts), nan=1.0), SMALLEST))


def score(files: list[File], scores: dict[str, np.ndarray]) -> float:
    """The normalised score of the whole corpus at the best threshold."""
    rows = [row for one in files for row in judged(one, scores[one.name])]
    rows.sort(key=lambda row: -row[0])
    windows = {window for _, window, _ in rows if window}
    earned = dict.fromkeys(windows, -1.0)
    total = best = -float(len(windows))
    for i, (value, window, worth) in enumerate(rows):
        if window:
            total += max(worth - earned[window], 0)
            earned[window] = max(worth, earned[window])
        else:
            total += worth
        if i + 1 == len(rows) or rows[i + 1][0] != value:  # a threshold lets in all rows of the same score
            best = max(best, total)
    return 100 * (best + len(windows)) / (2 * len(windows))


def judged(file: File, scores: np.ndarray) -> list[tuple[float, tuple[str, int] | None, float]]:
    """Every row after probation: its score, the window it is in, and what a detection there is worth."""
    rows, past = [], None
    place = np.full(len(file.values), -1)
    for number, (first, last) in enumerate(file.windows):
        place[first : last + 1] = number
    for i, number in enumerate(place.tolist()):
        if number >= 0:
            past = number
            first, last = file.windows[number]
            worth = falling(-(last - i + 1) / (last - first + 1)) / falling(-1)
            window = (file.name, number)
        else:
            first, last = (0, 0) if past is None else file.windows[past]
            window, worth = None, FALSE_ALARM * (-1.0 if past is None else falling((i - last) / (last - first)))
        if i >= file.probation:
            rows.append((float(scores[i]), window, worth))
    return rows


def falling(position: float) -> float:
    """The scaled sigmoid of the paper: 1 far before the end of a window, 0 at it, −1 three widths after it."""
    return -1.0 if position >= 3 else 2 / (1 + math.exp(5 * position)) - 1


if __name__ == "__main__":
    main()
