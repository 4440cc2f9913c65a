"""What a fit says before and after, on the terminal."""

from __future__ import annotations

from rich.table import Table

from model.contract import Covariate
from training.clock import Kind
from training.config import FitConfig
from training.dataset import Panel, Split
from training.evaluate import OURS
from training.metrics import Document
from training.times import format_duration, format_time

LABELS = {OURS: "Tidegate", "naive": "naive"}


def describe_data(config: FitConfig, panel: Panel, split: Split) -> str:
    """The data and their parts, gaps said aloud."""
    steps = f"{len(panel):,} steps of {format_duration(panel.frequency)}"
    series = f"{len(panel.series):,} series" if len(panel.series) > 1 else "one series"
    timed = panel.clock is Kind.TIMES
    span = f"{format_time(panel.start)} to {format_time(panel.end)}" if timed else "without times"
    lines = [f"{config.data.name}: {series}, {steps}, {span}"]
    if panel.filled:
        share = 100 * panel.filled / len(panel)
        lines.append(f"{panel.filled:,} of them ({share:.1f} %) have no row in the file: filled in as missing")
    if panel.kinds:
        lines.append("categories: " + ", ".join(described(panel.covariates[i]) for i in panel.kinds))
    first = panel.series[0]
    rows = split.validate_from[0], split.test_from[0]
    parts = [format_time(panel.time(first, row)) if timed else f"row {row + 1:,} of {first.id}" for row in rows]
    lines.append("validation from {}, test from {}".format(*parts))
    return "\n".join(lines)


def described(covariate: Covariate) -> str:
    """A covariate in a few words."""
    facts = ["known ahead"] if covariate.known_ahead else []
    facts += [f"{len(covariate.categories)} categories"] if covariate.categories else []
    return f"{covariate.name} ({', '.join(facts)})" if facts else covariate.name


def table(metrics: Document) -> Table:
    """Every forecaster's metrics, the better ones being lower."""
    found = Table(title="Backtest, {from} to {to}, {origins:,} origins".format(**metrics["test"]), title_justify="left")
    for column in ("", "WQL", "MASE", "sMAPE %", "MAE", "in band %"):
        found.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, row in metrics["forecasters"].items():
        cells = [number(row["wql"], 4), number(row["mase"], 3), number(row["smape"], 2), number(row["mae"], 2)]
        covered = row.get("coverage")
        found.add_row(label(name), *cells, number(None if covered is None else 100 * covered, 1))
    return found


def label(forecaster: str) -> str:
    """How people call a forecaster."""
    return LABELS.get(forecaster, f"{forecaster.replace('seasonal-naive-', 'seasonal naive (')} steps)")


def number(value: float | None, places: int) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:,.{places}f}"
