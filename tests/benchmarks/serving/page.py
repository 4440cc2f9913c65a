"""A page of one run that needs nothing from elsewhere: bounds, rates against their floors, latencies."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from tests.benchmarks.serving.results import Results

GOOD, BAD, FLOOR, OURS = "#2a7f62", "#c0392b", "#b8bfc6", "#2c5f9e"
CURVE_POINTS = 200
FLOORS = ("echo", "onnxruntime")
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%;font-size:13px}td,th{padding:.2rem .6rem;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}.holds{color:#2a7f62}"
    ".fails{color:#c0392b;font-weight:600}svg{width:100%;height:auto}"
)


def draw(run: Mapping[str, Any], results: Results) -> str:
    """The page of a run."""
    facts = f"{run['at']} · commit {run['commit']} · {run['cpu']} · server and client on cores of their own"
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    parts = [
        "<h1>What serving costs</h1>", paragraph(facts), paragraph(versions),
        "<h2>What must hold</h2>", reached(run["bounds"]), bounds_table(run["bounds"]),
        "<h2>Rates against their floors</h2>", against_floors(run["scenarios"]),
        "<h2>Latencies</h2>", latencies(run["scenarios"], results),
        "<h2>All scenarios</h2>", scenarios_table(run["scenarios"]),
    ]  # fmt: skip
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Tidegate: what serving costs</title><style>{STYLE}</style>{"".join(parts)}</html>\n'


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def rows(head: list[str], body: list[list[str]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
    return f"<table><tr>{cells}</tr>{lines}</table>"


def bounds_table(bounds: list[Mapping[str, Any]]) -> str:
    verdicts = {True: '<span class="holds">holds</span>', False: '<span class="fails">fails</span>'}
    body = [
        [
            html.escape(one["scenario"]),
            html.escape(one["what"]),
            one["must"],
            shown(one["measured"]),
            verdicts[one["holds"]],
        ]
        for one in bounds
    ]
    return rows(["scenario", "what", "must be", "measured", ""], body)


def scenarios_table(scenarios: Mapping[str, Mapping[str, Any]]) -> str:
    body = [
        [
            html.escape(name), f"{one['rate']:,.0f} {one['unit']}",
            *(shown(seconds, 1e3) for seconds in one["latency"].values()),
            f"{1e3 * one['cpu_per_1000']:.3g}", f"{100 * one['client_core']:.0f} %",
        ]
        for name, one in scenarios.items()
    ]  # fmt: skip
    return rows(["scenario", "per second", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs each", "client's core"], body)


def shown(value: float | None, scale: float = 1) -> str:
    return "∞" if value is None else f"{value * scale:.3g}"


def reached(bounds: list[Mapping[str, Any]]) -> str:
    """How much of each bound is reached; right of the line it holds."""
    names = [f"{one['scenario']}: {one['what']} {one['must']}" for one in bounds]
    colours = [GOOD if one["holds"] else BAD for one in bounds]
    figure = bars(names, [one["reached"] for one in bounds], colours)
    figure.axes[0].set(xscale="log", xlabel="measured ÷ bound, or bound ÷ measured where less is better")
    return svg(figure)


def against_floors(scenarios: Mapping[str, Mapping[str, Any]]) -> str:
    """What is left of the rate of an echo, or of onnxruntime alone."""
    held = {name: one for name, one in scenarios.items() if str(one["floor"]).startswith(FLOORS)}
    figure = bars(
        [f"{name} ÷ {one['floor']}" for name, one in held.items()],
        [one["of_floor"] for one in held.values()],
        [OURS] * len(held),
    )
    figure.axes[0].set_xlabel("rate ÷ rate of the floor")
    return svg(figure)


def bars(names: list[str], lengths: list[float], colours: list[str]) -> Figure:
    """Bars under each other, and a line at 1."""
    figure = Figure((10, 0.28 * len(names) + 0.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))[::-1]
    axes.barh(places, lengths, color=colours, height=0.6)
    axes.axvline(1, color=FLOOR)
    axes.set_yticks(places, names, fontsize=8)
    axes.margins(y=0.01)
    return figure


def latencies(scenarios: Mapping[str, Mapping[str, Any]], results: Results) -> str:
    """How slow the slowest are: the share of requests above a time."""
    figure = Figure((9, 4.5), layout="constrained")
    axes = figure.subplots()
    for name in (name for name in scenarios if "WebSocket json" in name or name in {"REST", "echo WebSocket text 1"}):
        taken = np.concatenate([sample.seconds for sample in results.samples[name]])
        above = np.geomspace(1, 1 / len(taken), CURVE_POINTS)
        axes.plot(1e3 * np.quantile(taken, 1 - above), above, label=name, linewidth=1.2)
    axes.set(xscale="log", yscale="log", xlabel="ms", ylabel="share of requests that take longer")
    axes.legend(fontsize=8, frameon=False)
    return svg(figure)


def svg(figure: Figure) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tidegate"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
