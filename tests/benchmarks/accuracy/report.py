"""Results as a table to read (README.md) and a page with plots (index.html), from what was measured of each set.

Every set has a document of its own, SET.json, with the commit and the versions it was measured with; measuring one again
leaves the others as they are. Other packages' forecasters lie beside it in SET.rivals.json, measured at a time of their own.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.accuracy import plots
from tests.benchmarks.accuracy.published import PUBLISHED
from tests.benchmarks.accuracy.runs import Run, Trained, summary
from tests.benchmarks.accuracy.sets import SETS, Protocol

PACKAGES = ("torch", "numpy", "onnxruntime", "polars")
ETT = ("mse", "mae", "mse_of_median")
HEADLINES = {"m4-hourly": ("owa", "smape", "mase", "wql"), "etth1": ETT, "ettm1": ETT}
OTHERWISE = ("wql", "mase", "smape", "coverage80")
EXAMPLES = (0.25, 0.75)  # of the way through the forecasts
HEAD = """# Accuracy

Written by `make accuracy`; docs/accuracy.md says what is measured and how. CPU-s is processor time of one training on one
thread; µs is one observation and one forecast of one session. Lower is better, but for coverage80, which should be .8.
"""
Document = Mapping[str, Any]


def document(
    protocol: Protocol,
    rivals: Sequence[Run],
    members: Sequence[Trained],
    ensemble: Run | None,
    sparse: Sequence[Run],
    *,
    quick: bool,
) -> Document:
    """All that was found of one set; `sparse` are runs that forecast from every H-th origin alone."""
    means = summary(member.run for member in members)
    return {
        "set": protocol.name,
        "horizon": protocol.horizon,
        "scores": HEADLINES.get(protocol.name, OTHERWISE),
        "quick": quick,
        **circumstances(),
        "published": [asdict(one) for one in PUBLISHED.get(protocol.name, ())],
        "rivals": [asdict(run) for run in rivals],
        "runs": [asdict(member.run) for member in members],
        "mean": {name: mean for name, (mean, _) in means.items()},
        "standard_deviation": {name: spread for name, (_, spread) in means.items()},
        "ensemble": None if ensemble is None else asdict(ensemble),
        "sparse": [asdict(run) for run in sparse],
        "examples": [_example(protocol, members[0], place) for place in EXAMPLES],
    }


def write(found: Document, directory: Path) -> None:
    """Keep a set's document, and write table and page of all that are there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{found['set']}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    tabulate(directory)


def tabulate(directory: Path) -> None:
    """Write table and page of all sets whose documents are there."""
    documents = [_joined(name, directory) for name in SETS if (directory / f"{name}.json").exists()]
    tables = [[rows(one), sparse_rows(one)] for one in documents]
    sections = [_markdown(one, parts) for one, parts in zip(documents, tables, strict=True)]
    (directory / "README.md").write_text("\n".join([HEAD, *sections]), encoding="utf-8")
    (directory / "index.html").write_text(
        plots.page(documents, tables, [said(one) for one in documents]), encoding="utf-8"
    )


def _joined(name: str, directory: Path) -> Document:
    """A set's document, with the runs and the circumstances of its rivals."""
    found = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
    file = directory / f"{name}.rivals.json"
    if not file.exists():
        return {**found, "packages": None}
    packages = json.loads(file.read_text(encoding="utf-8"))
    return {**found, "packages": packages, "sparse": [*packages["runs"], *found["sparse"]]}


def circumstances(packages: Sequence[str] = PACKAGES) -> Document:
    """What one has to know to get the same numbers again."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "--short", "HEAD") + (" with changes" if changed else ""),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def said(found: Document) -> str:
    """When and with what a set was measured."""
    kind = " A quick run: it shows that everything works, not how accurate it is." if found["quick"] else ""
    packages = f" Other packages: {when(found['packages'])}." if found["packages"] else ""
    return f"{when(found)}.{kind}{packages}"


def when(found: Document) -> str:
    """Date, commit and versions of a measurement."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{found['date']}, commit {found['commit']}, {versions}"


def rows(found: Document) -> list[list[str]]:
    """A table: its header, the published methods, the rivals, each seed of ours, their mean, the ensemble."""
    names = found["scores"]
    table = [["method", *names, "CPU-s", "µs"]]
    for run in (*found["published"], *found["rivals"], *found["runs"]):
        costs = [_count(run.get(name)) for name in ("cpu_seconds", "microseconds")]
        table += [[run["method"], *_cells(run, names), *costs]]
    if len(found["runs"]) > 1:
        cells = [f"**{found['mean'][name]:.4f}** ± {found['standard_deviation'][name]:.4f}" for name in names]
        table.append([f"**Tidegate, mean of {len(found['runs'])} seeds**", *cells, "", ""])
    if found["ensemble"]:
        cells = [f"**{found['ensemble']['scores'][name]:.4f}**" for name in names]
        table.append([f"**{found['ensemble']['method']}**", *cells, _count(found["ensemble"]["cpu_seconds"]), ""])
    return table


def sparse_rows(found: Document) -> list[list[str]]:
    """A table of what forecast from every H-th origin alone; empty where nothing did."""
    runs, names = found["sparse"], found["scores"]
    head = [["from every H-th origin", *names, "CPU-s", "µs"]] if runs else []
    costs = ("cpu_seconds", "microseconds")
    return head + [[run["method"], *_cells(run, names), *(_count(run[name]) for name in costs)] for run in runs]


def _example(protocol: Protocol, member: Trained, place: float) -> Document:
    """One forecast of the first channel beside the truth, for a plot."""
    forecast = member.forecasts[int(place * (len(member.forecasts) - 1))]
    n = int(place * (len(forecast.truth) - 1))
    truth, quantiles = forecast.truth[n, :, 0], forecast.quantiles[n, :, 0]
    known = np.where(np.isnan(truth), None, np.round(truth, 4))
    series = protocol.panel.series[forecast.series].id
    return {
        "title": f"{series}, {protocol.panel.channels[0]}",
        "truth": known.tolist(),
        "quantiles": np.round(quantiles, 4).tolist(),
    }


def _cells(run: Document, names: Sequence[str]) -> list[str]:
    return [f"{run['scores'][name]:.4g}" if name in run["scores"] else "" for name in names]


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _markdown(found: Document, tables: Sequence[list[list[str]]]) -> str:
    parts = [f"## {found['set']}, {found['horizon']} ahead"]
    for table in filter(None, tables):
        lines = ["| " + " | ".join(row) + " |" for row in table]
        lines.insert(1, "|---" * len(table[0]) + "|")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, said(found)]) + "\n"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
