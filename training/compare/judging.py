"""What a fitted cell is worth where it counts: its exported graphs on the test part, and how long they take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.contract import Bundle
from model.export import export
from model.parity import Feed, Session, example
from training.compare.contestants import Contestant
from training.data import Data
from training.evaluate import OURS, backtest
from training.graphs import Graphs
from training.metrics import document

ROWS = (1, 64)  # sessions that are moved together
ROUNDS, WARM_UP = 400, 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bundle of a cell, and the errors of it and of the seasonal naive rival on the test part."""

    bundle: Bundle
    cell_parameters: int
    wql: float | None
    mase: float | None
    coverage: float | None
    rival: str
    rival_wql: float | None


def judge(contestant: Contestant, data: Data, directory: Path) -> Verdict:
    """Export the best weights into an empty directory and score every origin of the test part."""
    best = contestant.fit.best()
    bundle = export(best, directory, name=contestant.cell, version="1", created_at="", training={})
    metrics = document(backtest(Graphs(directory, bundle), data.panel, data.split), data.panel, data.split)
    ours, rival = metrics["forecasters"][OURS], metrics["forecasters"][metrics["rival"]]
    return Verdict(
        bundle=bundle,
        cell_parameters=sum(parameter.numel() for parameter in best.cells.parameters()),
        wql=ours["wql"],
        mase=ours["mase"],
        coverage=ours.get("coverage"),
        rival=metrics["rival"],
        rival_wql=rival["wql"],
    )


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians, in µs, of one observation of so many sessions, and of the observation with the forecast after it."""

    rows: int
    observation_us: float
    forecast_us: float


def latencies(bundles: Mapping[Path, Bundle]) -> dict[Path, list[Latency]]:
    """How long the exported graphs take on one thread, those of all directories in turn."""
    found: dict[Path, list[Latency]] = {directory: [] for directory in bundles}
    for rows in ROWS:
        servers = {directory: _Server(directory, bundle, rows) for directory, bundle in bundles.items()}
        for _ in range(ROUNDS):
            for server in servers.values():
                server.step()
        for directory, server in servers.items():
            found[directory].append(Latency(rows, *server.medians()))
    return found


class _Server:
    """Graphs, and sessions that are moved from step to step."""

    def __init__(self, directory: Path, bundle: Bundle, rows: int) -> None:
        self.encoder, self.decoder = Session(directory / "encoder.onnx"), Session(directory / "decoder.onnx")
        history, ahead = example(bundle)
        self.now: Feed = {name: np.repeat(value[:1, :1], rows, 0) for name, value in history.items()}
        self.ahead: Feed = {name: np.repeat(value[:1], rows, 0) for name, value in ahead.items()}
        self.state = np.zeros((rows, bundle.state_size), np.float32)
        self.seconds: list[tuple[float, float]] = []

    def step(self) -> None:
        began = time.perf_counter()
        self.state = self.encoder(self.now | {"state": self.state})[0]
        encoded = time.perf_counter()
        self.decoder(self.ahead | {"state": self.state})
        self.seconds.append((encoded - began, time.perf_counter() - began))

    def medians(self) -> tuple[float, float]:
        observation, forecast = zip(*self.seconds[WARM_UP:], strict=True)
        return 1e6 * statistics.median(observation), 1e6 * statistics.median(forecast)
