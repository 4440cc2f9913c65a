"""The report's charts of metrics, each as inline SVG."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.checkpoint import Curve
from training.evaluate import NAIVE, OURS
from training.metrics import Document
from training.style import INK, LAST, MUTED, OTHER, RIVAL, figure, svg
from training.style import OURS as TEAL
from training.summary import label

BLOCK = 20  # steps of training loss averaged to a point
SIZE = (5.3, 3.6)


def by_horizon(metrics: Document) -> str:
    """The quantile loss of every forecaster by step ahead."""
    with figure(*SIZE) as drawn:
        axes = drawn.subplots()
        for name, found in metrics["by_horizon"].items():
            colour = TEAL if name == OURS else RIVAL if name == metrics["rival"] else LAST if name == NAIVE else OTHER
            steps = np.arange(1, len(found["wql"]) + 1)
            values = np.array(found["wql"], float)
            axes.plot(steps, values, "o-" if len(steps) == 1 else "-", color=colour, lw=2.2 if name == OURS else 1.4)
            axes.plot([], [], color=colour, label=label(name))
        axes.set_ylim(0, _top(metrics))
        axes.set_xlabel("steps ahead")
        axes.set_ylabel("WQL")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawn.legend(loc="outside upper left", ncols=2)
        return svg(drawn, "Weighted quantile loss by step ahead")


def _top(metrics: Document) -> float | None:
    """Where the chart ends: the last value may leave it, so that the others can be told apart."""
    shown = [found["wql"] for name, found in metrics["by_horizon"].items() if name != NAIVE or name == metrics["rival"]]
    highest = max((float(value) for values in shown for value in values if value is not None), default=0.0)
    return 1.3 * highest or None


def calibration(metrics: Document) -> str:
    """How often the truth was at or below each quantile."""
    levels, found = np.array(metrics["levels"]), metrics["forecasters"][OURS]["coverage_by_level"]
    with figure(*SIZE) as drawn:
        axes = drawn.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)), label="perfectly calibrated")
        axes.plot(levels, np.array(found, float), "o-", color=TEAL, lw=2, ms=5, label="Tidegate")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, 0))
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="quantile level", ylabel="truths at or below it")
        drawn.legend(loc="outside upper left", ncols=2)
        return svg(drawn, "Coverage by quantile level")


def band(metrics: Document) -> str:
    """Coverage of the main band by step ahead; empty where the levels bound no band."""
    found, bands = metrics["by_horizon"][OURS], metrics["forecasters"][OURS]["bands"]
    if "coverage" not in found:
        return ""
    nominal = next((one["nominal"] for one in bands if one["nominal"] == 0.8), bands[0]["nominal"])
    with figure(*SIZE) as drawn:
        axes = drawn.subplots()
        steps = np.arange(1, len(found["coverage"]) + 1)
        axes.axhline(nominal, color=MUTED, lw=1, ls=(0, (4, 3)), label=f"{100 * nominal:.0f} % promised")
        axes.plot(steps, np.array(found["coverage"], float), "o-", color=TEAL, lw=2, ms=4, label="covered")
        axes.set_ylim(max(0, nominal - 0.25), 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("steps ahead")
        drawn.legend(loc="outside upper left", ncols=2)
        return svg(drawn, "Coverage of the central band by step ahead")


def training(curve: Curve) -> str:
    """Training and validation loss by step."""
    blocks = np.array_split(np.array(curve.loss), max(1, len(curve.loss) // BLOCK))
    ends = np.cumsum([len(block) for block in blocks])
    with figure(*SIZE) as drawn:
        axes = drawn.subplots()
        axes.plot(ends, [block.mean() for block in blocks], color=LAST, lw=1.4, label="training")
        steps, losses = list(curve.validation), list(curve.validation.values())
        axes.plot(steps, losses, "o-", color=TEAL, lw=2, ms=4, label="validation")
        best = int(np.argmin(losses))
        axes.plot(steps[best], losses[best], "o", ms=10, mfc="none", mec=INK, mew=1.2, label="kept")
        axes.set_ylim(0, (2 * max(losses)) or None)
        axes.set(xlabel="optimiser steps", ylabel="quantile loss")
        drawn.legend(loc="outside upper left", ncols=3)
        return svg(drawn, "Training and validation loss")
