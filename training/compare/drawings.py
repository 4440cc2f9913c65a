"""The plots of a comparison, each as inline SVG. A cell has one colour in all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from training.compare.contestants import TITLES
from training.compare.findings import figures
from training.metrics import Document
from training.style import LAST, MUTED, OTHER, OURS, RIVAL, figure, svg

COLOURS = dict(zip(TITLES, (OURS, RIVAL, OTHER, LAST), strict=True))
BARS = (
    ("cell_parameters", "parameters of the cell"), ("hidden_floats", "numbers in its state"),
    ("step_ms", "training step, ms"), ("best_seconds", "time to the best validation, s"),
    ("wql", "WQL on the test part"), ("forecast_us", "observation and forecast, µs"),
)  # fmt: skip


def bars(cells: list[Document]) -> str:
    """What every cell takes and what it is worth."""
    shown = [(row["cell"], figures(row)) for row in cells]
    with figure(11, 4.4) as drawn:
        grid = drawn.subplots(2, 3, sharey=True)
        grid[0, 0].invert_yaxis()  # the first cell above the others
        for axes, (key, title) in zip(grid.flat, BARS, strict=True):
            values = [row[key] or 0.0 for _, row in shown]
            axes.barh(
                [TITLES[cell] for cell, _ in shown], values, color=[COLOURS[cell] for cell, _ in shown], height=0.62
            )
            for place, value in enumerate(values):
                axes.text(
                    value, place, f" {value:,.0f}" if value >= 1_000 else f" {value:.4g}", va="center", fontsize=9
                )
            axes.set_xlim(0, 1.25 * max(values) or 1.0)
            axes.set_title(title)
            axes.grid(visible=False)
            axes.set_xticks([])
        return svg(drawn, "Size, cost and worth of every cell")


def courses(cells: list[Document]) -> str:
    """Validation losses by the seconds that a fit had taken."""
    with figure(11, 3.8) as drawn:
        axes = drawn.subplots()
        for row in cells:
            for i, course in enumerate(row["courses"]):
                name = row["title"] if i == 0 else None
                axes.plot(course["seconds"], course["validation"], color=COLOURS[row["cell"]], lw=1.7, label=name)
                best = int(np.argmin(course["validation"]))
                axes.plot(course["seconds"][best], course["validation"][best], "o", color=COLOURS[row["cell"]], ms=6)
        losses = np.concatenate([course["validation"] for row in cells for course in row["courses"]])
        axes.set_ylim(0.98 * losses.min(), max(1.01 * losses.min(), float(np.quantile(losses, 0.9)) * 1.05))
        axes.set(xlabel="seconds of training", ylabel="validation loss")
        drawn.legend(loc="outside upper left", ncols=4)
        return svg(drawn, "Validation loss of every cell by seconds of training")


def adding(found: Document) -> str:
    """Squared errors in the adding problem by optimiser step, a picture to a length."""
    lengths = sorted({one["length"] for one in found["attempts"]})
    with figure(11, 3.4) as drawn:
        for axes, length in zip(drawn.subplots(1, len(lengths), sharey=True, squeeze=False).flat, lengths, strict=True):
            _errors(axes, found, length)
        drawn.legend(*_first(drawn.axes), loc="outside upper left", ncols=5)
        return svg(drawn, "Squared error in the adding problem by optimiser step, for sequences of several lengths")


def _errors(axes: Axes, found: Document, length: int) -> None:
    for one in found["attempts"]:
        if one["length"] == length:
            axes.plot(one["steps"], one["errors"], color=COLOURS[one["cell"]], label=TITLES[one["cell"]])
    axes.axhline(found["baseline"], color=MUTED, lw=1, ls=(0, (4, 3)), label="always 1")
    axes.set_yscale("log")
    axes.set_title(f"{length} steps")
    axes.set_xlabel("optimiser steps")


def _first(axes: list[Any]) -> tuple[list[Any], list[Any]]:
    """Handles and labels of one picture, which stand for all."""
    handles, labels = axes[0].get_legend_handles_labels()
    return handles, labels
