"""`report.html`: the plots and figures of a fit on one page that needs no network."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from model.contract import Bundle
from training import charts, plots, showcase
from training.checkpoint import Curve
from training.dataset import Panel, Split
from training.evaluate import OURS, Backtest
from training.graphs import Graphs
from training.metrics import Document
from training.style import CSS
from training.summary import described, label, number
from training.times import format_duration


def report(graphs: Graphs, panel: Panel, split: Split, curve: Curve, backtest: Backtest, metrics: Document) -> str:
    """The page."""
    bundle, rival = graphs.bundle, backtest.rival
    shown = showcase.choose(backtest, panel)
    levels, test = bundle.quantiles, metrics["test"]
    ahead = f"{bundle.horizon} × {format_duration(bundle.frequency)} ahead"
    follow = plots.rolling(showcase.back_to_back(graphs, panel, split, shown, rival), levels)
    single = plots.fans(showcase.fans(graphs, panel, split, shown, rival), levels, label(rival))
    charted = [
        section(
            "Error by step ahead",
            "Weighted quantile loss; lower is better. The last value may leave the chart.",
            charts.by_horizon(metrics),
        ),
        section("Calibration", "On the line, quantiles keep what they promise.", charts.calibration(metrics)),
        section("Training", "What was kept did best on the validation part.", charts.training(curve)),
    ]
    covered = charts.band(metrics)
    charted += [section("The band by step ahead", "How often the truth fell into it.", covered)] if covered else []
    judged = (
        f"judged by {test['origins']:,} forecasts of the exported graphs, {test['from'][:10]} to {test['to'][:10]}."
    )
    body = [
        f"<h1>{escape(bundle.name)} <span class=lead>version {bundle.version}</span></h1>",
        f"<p class=lead>{escape(joined(bundle.channels))}, {ahead}; {judged}</p>",
        cards(metrics, bundle),
        section("One forecast after the other", f"{escape(shown.name)}; dotted lines are origins. UTC.", follow),
        section("Metrics", "On the test part; point metrics are those of the median.", scores(metrics)),
        section("From several origins", f"{escape(shown.name)}; the past, what was forecast, and what came.", single),
        f"<div class=pair>{''.join(charted)}</div>",
        section("Inside the network", WHAT_GATES_ARE, plots.gate_map(showcase.gates(graphs, panel, shown))),
        section("Series", f"Against {label(rival)}.", series(metrics)) if len(metrics["series"]) > 1 else "",
        section("How it was made", "", facts(bundle)),
    ]
    return page(f"{bundle.name} {bundle.version}", "\n".join(body))


WHAT_GATES_ARE = "Every row is a unit of the last recurrent layer, every column a step; bright is open, dark is closed."


def page(title: str, body: str) -> str:
    """A whole HTML document."""
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{CSS}</style></head><body><main>{body}</main></body></html>\n"
    )


def section(title: str, note: str, content: str) -> str:
    """A part of the page with its heading."""
    return f"<section><h2>{title}</h2>{f'<p class=note>{note}</p>' if note else ''}{content}</section>"


def cards(metrics: Document, bundle: Bundle) -> str:
    """The figures to take away."""
    ours, gain, rival = metrics["forecasters"][OURS], metrics["better_than_rival"], label(metrics["rival"])
    shown = [(percent(gain[name]), f"lower {title} than {rival}") for name, title in (("wql", "WQL"), ("mase", "MASE"))]
    if ours.get("coverage") is not None:
        band = next((one for one in ours["bands"] if one["coverage"] == ours["coverage"]), ours["bands"][0])
        shown.append((percent(ours["coverage"]), f"of truths within the {100 * band['nominal']:.0f} % band"))
    shown.append((f"{bundle.parameters / 1e6:.2f} M", f"parameters, {bundle.training['seconds']:,.0f} s of training"))
    items = (f"<div class=card><b>{value}</b><span>{escape(text)}</span></div>" for value, text in shown)
    return f"<div class=cards>{''.join(items)}</div>"


def scores(metrics: Document) -> str:
    """The table of metrics, one row to a forecaster."""
    rows = []
    for name, row in metrics["forecasters"].items():
        cells = (label(name), number(row["wql"], 4), number(row["mase"], 3), number(row["smape"], 2))
        more = (number(row["mae"], 2), number(row["rmse"], 2), percent(row.get("coverage")))
        rows.append((name == OURS, (*cells, *more)))
    return table(("", "WQL", "MASE", "sMAPE %", "MAE", "RMSE", "coverage"), rows)


def series(metrics: Document) -> str:
    """The table of series."""
    rows = [
        (False, (
            f"{one['id']}, {one['channel']}", number(one["wql"], 4), number(one["wql_rival"], 4), number(one["mase"], 3),
            number(one["mase_rival"], 3), percent(one.get("coverage")),
        ))
        for one in metrics["series"]
    ]  # fmt: skip
    return table(("", "WQL", "rival's", "MASE", "rival's", "coverage"), rows)


def facts(bundle: Bundle) -> str:
    """What the model is and what made it."""
    made: Mapping[str, Any] = bundle.training
    data, parts = made["data"], made["parts"]
    gaps = f", {data['filled']:,} of them not in the file" if data["filled"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    listed = {
        "command": f"<code>{escape(made['command'])}</code>",
        "data": f"{escape(data['file'])}: {data['series']:,} series, {data['steps']:,} steps{gaps}",
        "SHA-256": f"<code>{data['sha256']}</code>",
        "parts": f"training from {parts['train_from']}, validation from {parts['validate_from']}, test from "
        f"{parts['test_from']} to {parts['end']}",
        "model": f"{bundle.cell}, {bundle.layers} × {bundle.units} units, seasons: {bundle.training['seasons']}",
        "covariates": escape(joined(map(described, bundle.covariates))),
        "fit": f"{made['steps']:,} steps in {made['seconds']:,.0f} s on {made['options']['threads']} thread(s), ended: {made['ended']}; "
        f"seed {made['seed']}",
        "versions": escape(versions),
        "commit": f"<code>{made['commit'] or 'not in a repository'}</code>",
    }
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{text}</dd>' for name, text in listed.items())}</dl>"


def table(heads: Iterable[str], rows: Iterable[tuple[bool, Iterable[str]]]) -> str:
    """A table; a row that is marked stands out."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = (
        f"<tr{' class=ours' if marked else ''}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for marked, cells in rows
    )
    return f"<div class=scroll><table><tr>{head}</tr>{''.join(lines)}</table></div>"


def joined(items: Iterable[Any]) -> str:
    """A list in words."""
    return ", ".join(map(str, items)) or "none"


def percent(share: float | None) -> str:
    """A share for people."""
    return "–" if share is None else f"{100 * share:.1f} %"


def escape(text: str) -> str:
    """Text as HTML has it."""
    return html.escape(text)
