"""The page with plots: for each set the deciding score of every method, and two forecasts beside the truth."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

OURS, OTHERS = "#0b6e99", "#b8bfc6"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
img { max-width: 100% }
"""
HEAD = (
    f"<!doctype html><html lang=en><meta charset=utf-8><title>Accuracy</title><style>{STYLE}</style><h1>Accuracy</h1>"
)
Document = Mapping[str, Any]
Bar = tuple[str, Mapping[str, float], str]  # a method, its scores, its colour
Tables = Sequence[list[list[str]]]


def page(documents: Sequence[Document], tables: Sequence[Tables], said: Sequence[str]) -> str:
    """The whole page with the tables of each document and what is said below; it needs nothing beside itself."""
    parts = [_section(*one) for one in zip(documents, tables, said, strict=True)]
    return HEAD + "".join(parts) + "</html>\n"


def _section(found: Document, tables: Tables, said: str) -> str:
    about = f"<p>{html.escape(said)}</p>"
    return f"<h2>{found['set']}, {found['horizon']} ahead</h2>{_drawn(found)}{''.join(map(_table, filter(None, tables)))}{about}"


def _drawn(found: Document) -> str:
    """The plots of a set as an image."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "0"}):
        figure = Figure(figsize=(14 if found["sparse"] else 10, 3.4), layout="constrained")
        charts = [_scored(found), [_named(run) for run in found["sparse"]]]
        panels = figure.subplots(1, sum(map(bool, charts)) + len(found["examples"]))
        for axes, methods in zip(panels, filter(None, charts), strict=False):
            _bars(axes, found["scores"][0], methods)
        for axes, example in zip(panels[-len(found["examples"]) :], found["examples"], strict=True):
            _forecast(axes, example)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    image = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="scores and forecasts of {found["set"]}" src="data:image/svg+xml;base64,{image}">'


def _scored(found: Document) -> list[Bar]:
    """The methods of the main table."""
    bars = [_named(run) for run in (*found["published"], *found["rivals"])]
    bars.append(("Tidegate", found["mean"], OURS))
    return bars + ([_named(found["ensemble"])] if found["ensemble"] else [])


def _named(run: Document) -> Bar:
    return run["method"], run["scores"], OURS if run["method"].startswith("Tidegate") else OTHERS


def _bars(axes: Any, score: str, methods: Sequence[Bar]) -> None:
    """One score of those methods that have it, the best on top."""
    bars = [(name, scores[score], colour) for name, scores, colour in methods if score in scores]
    names, values, colours = zip(*sorted(bars, key=lambda bar: -bar[1]), strict=True)
    axes.barh(names, values, color=colours)
    axes.set_xlabel(f"{score}, lower is better")
    for y, value in enumerate(values):
        axes.text(value, y, f" {value:.3f}", va="center", fontsize=8)


def _forecast(axes: Any, example: Document) -> None:
    quantiles, truth = np.array(example["quantiles"]), np.array(example["truth"], float)
    steps = np.arange(1, len(truth) + 1)
    middle = quantiles.shape[1] // 2
    for k in range(middle):
        axes.fill_between(steps, quantiles[:, k], quantiles[:, -1 - k], color=OURS, alpha=0.13, linewidth=0)
    axes.plot(steps, quantiles[:, middle], color=OURS)
    axes.plot(steps, truth, color="black", linewidth=1)
    axes.set_title(example["title"], fontsize=9)
    axes.set_xlabel("steps ahead")


def _table(table: list[list[str]]) -> str:
    cells = [[html.escape(cell).replace("**", "") for cell in row] for row in table]
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in cells[1:]]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0])
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in (head, *lines)) + "</table>"
