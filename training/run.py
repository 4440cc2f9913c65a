"""A fit from data to bundle, in the order in which it happens."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from model.contract import METRICS_FILE, REPORT_FILE
from model.export import export
from training.checkpoint import Curve, Run
from training.data import Data
from training.ensemble import AnyFit, begin
from training.errors import InputError
from training.evaluate import backtest
from training.facts import course, facts
from training.graphs import Graphs
from training.interruption import Interruption, interruptible
from training.metrics import Document, document
from training.options import Request
from training.progress import Display
from training.publish import next_version, published
from training.report import report
from training.seasons import expected_seasons
from training.summary import describe_data, table
from training.team import ALONE, Team

INTERRUPTED = "interrupted"


def run(request: Request, data: Data, arguments: Sequence[str], console: Console, team: Team = ALONE) -> None:
    """Fit, export, judge, report and publish; of a team all fit, and the rest is the first process's.

    Raises InputError when there is no run to resume or OUT cannot be written, ParityError when the exported graphs are not
    what was trained, KeyboardInterrupt at the second Ctrl-C. In all of these cases no bundle is written.
    """
    config = request.config
    seasons = expected_seasons(data.panel, data.split, config.seasons)
    console.print(f"{describe_data(config, data.panel, data.split)}\n{seasons}")
    torch.set_num_threads(config.threads)
    fit = begin(data.panel, data.split, config, team)
    run = Run(config, data.digest)
    curve = team.together(lambda: _begin(run, fit, resume=request.resume, console=console) if team.leads else Curve())
    if request.resume and team.size > 1:
        fit.restore(team.first(fit.checkpoint()))
    record = facts(config, arguments, data.digest, data.panel, data.split)
    record |= {"seasons": str(seasons).removeprefix("seasons: "), "processes": team.size}
    with interruptible() as interruption:
        ending = learn(fit, curve, run, interruption, console, team)
        if not team.leads:
            return
        place = config.out / config.name / next_version(config.out, config.name)
        with published(run.directory / "bundle", place) as draft:
            metrics = build(draft, place, fit, curve, data, record | course(fit, curve, ending))
    console.print(table(metrics))
    console.print(f"Wrote {place}; the plots are in {place / REPORT_FILE}.")
    if ending == INTERRUPTED:
        console.print(f"Stopped at step {fit.step}; the same command with --resume goes on from there.")
    else:
        run.remove()


def learn(fit: AnyFit, curve: Curve, run: Run, interruption: Interruption, console: Console, team: Team) -> str:
    """Fit with a checkpoint at every validation; how it ended: last step, end of the budget, early stop or Ctrl-C."""
    before, began = curve.seconds, time.monotonic()
    with Display(console, fit.config.steps * fit.config.ensemble, fit.step) as display:
        for progress in fit:
            if not math.isfinite(progress.loss):
                raise InputError(f"the loss is {progress.loss} at step {progress.step}; lower --learning-rate")
            curve.loss.append(progress.loss)
            curve.seconds = before + time.monotonic() - began
            if progress.validation is not None:
                curve.validation[progress.step] = progress.validation
            asked = team.sum(interruption.asked) > 0
            if team.leads and (progress.validation is not None or asked):
                run.save(fit, curve)
            display.show(progress)
            if asked:
                break
    if fit.done >= 1:
        return "last step" if fit.config.budget is None or fit.step == fit.config.steps else "budget"
    if fit.stale > fit.config.patience:
        console.print(f"Stopped early at step {fit.step}: {fit.stale} validations brought no better one.")
        return "early stop"
    console.print("Stopping: judging and writing the best so far. Ctrl-C once more ends at once.")
    curve.validation[fit.step] = fit.judge()
    return INTERRUPTED


def build(draft: Path, place: Path, fit: AnyFit, curve: Curve, data: Data, record: dict[str, Any]) -> Document:
    """Fill a directory with a bundle: graphs and description, what they are worth, and the report."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    bundle = export(fit.best(), draft, name=place.parent.name, version=place.name, created_at=now, training=record)
    graphs = Graphs(draft, bundle)
    found = backtest(graphs, data.panel, data.split)
    metrics = document(found, data.panel, data.split)
    (draft / METRICS_FILE).write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    page = report(graphs, data.panel, data.split, curve, found, metrics)
    (draft / REPORT_FILE).write_text(page, encoding="utf-8")
    return metrics


def _begin(run: Run, fit: AnyFit, *, resume: bool, console: Console) -> Curve:
    """Where the fit starts: anew, or where the interrupted run left it."""
    if resume:
        curve = run.restore(fit)
        console.print(f"Going on from step {fit.step} of {run.file}.")
        return curve
    run.prepare()
    if run.file.exists():
        console.print(f"An interrupted run lies in {run.file}; it will be replaced (--resume would go on with it).")
    return Curve()
