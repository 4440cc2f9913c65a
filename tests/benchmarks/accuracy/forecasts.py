"""Forecasts of the test part as they would be served: from the exported graphs, one observation after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.contract import Bundle
from model.parity import Session
from tests.benchmarks.accuracy.sets import Protocol

ROWS = 256  # origins decoded together


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Truth (n, H, C) and quantiles (n, H, C, Q) at n origins of the i-th series."""

    series: int
    truth: NDArray[np.float64]
    quantiles: NDArray[np.float64]


def truth(protocol: Protocol, i: int) -> NDArray[np.float64]:
    """What came after each origin of a series, (n, H, C)."""
    ahead = np.array(protocol.origins(i))[:, None] + np.arange(1, protocol.horizon + 1)
    return protocol.panel.series[i].values.astype(np.float64)[ahead]


def served(protocol: Protocol, directory: Path) -> Iterator[Forecasts]:
    """Forecasts from a bundle for every series; those of equal length go through the graphs together."""
    graphs = {name: Session(directory / f"{name}.onnx") for name in ("encoder", "step", "decoder")}
    bundle = Bundle.from_json((directory / "bundle.json").read_text(encoding="utf-8"))
    order = sorted(range(len(protocol.panel.series)), key=lambda i: _shape(protocol, i))
    for _, group in groupby(order, key=lambda i: _shape(protocol, i)):
        members = list(group)
        quantiles = _together(protocol, members, bundle, graphs)
        for row, i in enumerate(members):
            yield Forecasts(i, truth(protocol, i), quantiles[:, row])


def seasonal_naive(protocol: Protocol, levels: tuple[float, ...]) -> Iterator[Forecasts]:
    """The value a season ago, and around it the spread of the seasonal differences before the test part.

    A missing value is taken from the season before it.
    """
    m, H = protocol.season, protocol.horizon
    for i, series in enumerate(protocol.panel.series):
        values = series.values.astype(np.float64)
        filled = values.copy()
        for t in range(m, len(filled)):
            filled[t] = np.where(np.isnan(filled[t]), filled[t - m], filled[t])
        known = values[: protocol.split.test_from[i]]
        width = np.nanquantile(known[m:] - known[:-m], levels, axis=0) - np.nanmedian(known[m:] - known[:-m], axis=0)
        seasons = -(-np.arange(1, H + 1) // m)
        ahead = np.array(protocol.origins(i))[:, None] + np.arange(1, H + 1) - seasons * m
        point = filled[ahead]
        grown = np.sqrt(seasons)[:, None, None] * width.T
        yield Forecasts(i, truth(protocol, i), point[..., None] + grown)


def latency(protocol: Protocol, directory: Path, rounds: int = 200) -> float:
    """Microseconds of one observation and one forecast of one session, the median of some."""
    graphs = {name: Session(directory / f"{name}.onnx") for name in ("step", "decoder")}
    bundle = Bundle.from_json((directory / "bundle.json").read_text(encoding="utf-8"))
    state, took = np.zeros((1, bundle.state_size), np.float32), []
    for t in range(rounds):
        began = time.perf_counter()
        state = graphs["step"](_feed(protocol, [0], range(t, t + 1)) | {"state": state})[0]
        graphs["decoder"](_ahead(protocol, [0], t, bundle) | {"state": state})
        took.append(time.perf_counter() - began)
    return float(np.median(took) * 1e6)


def _shape(protocol: Protocol, i: int) -> tuple[int, int, int]:
    series = protocol.panel.series[i]
    return len(series), protocol.split.test_from[i], series.start


def _together(
    protocol: Protocol, members: list[int], bundle: Bundle, graphs: dict[str, Session]
) -> NDArray[np.float64]:
    """Quantiles (n, members, H, C, Q) of series that have the same rows."""
    origins = protocol.origins(members[0])
    state = np.zeros((len(members), bundle.state_size), np.float32)
    state = graphs["encoder"](_feed(protocol, members, range(origins[0] + 1)) | {"state": state})[0]
    states = [state]
    for t in range(origins[0] + 1, origins[-1] + 1):
        state = graphs["step"](_feed(protocol, members, range(t, t + 1)) | {"state": state})[0]
        if t in origins:
            states.append(state)
    feeds = [_ahead(protocol, members, t, bundle) | {"state": state} for t, state in zip(origins, states, strict=True)]
    chunk = max(1, ROWS // len(members))
    found = []
    for begin in range(0, len(feeds), chunk):
        part = feeds[begin : begin + chunk]
        quantiles = graphs["decoder"]({name: np.concatenate([feed[name] for feed in part]) for name in part[0]})[0]
        found.append(quantiles.reshape(len(part), len(members), *quantiles.shape[1:]))
    return np.concatenate(found).astype(np.float64)


def _feed(protocol: Protocol, members: list[int], rows: range) -> dict[str, NDArray[np.generic]]:
    series = [protocol.panel.series[i] for i in members]
    part = slice(rows.start, rows.stop)
    times = series[0].start + protocol.panel.frequency * np.arange(rows.start, rows.stop)
    feed: dict[str, NDArray[np.generic]] = {
        "values": np.stack([one.values[part] for one in series]),
        "time": np.tile(times, (len(members), 1)),
    }
    if protocol.panel.covariates:
        feed["covariates"] = np.stack([one.covariates[part] for one in series])
    return feed


def _ahead(protocol: Protocol, members: list[int], origin: int, bundle: Bundle) -> dict[str, NDArray[np.generic]]:
    series = [protocol.panel.series[i] for i in members]
    time_of_origin = series[0].start + protocol.panel.frequency * origin
    feed: dict[str, NDArray[np.generic]] = {"time": np.full(len(members), time_of_origin, np.int64)}
    if bundle.known_ahead:
        known = [i for i, covariate in enumerate(protocol.panel.covariates) if covariate.known_ahead]
        rows = slice(origin + 1, origin + 1 + protocol.horizon)
        feed["future_covariates"] = np.stack([one.covariates[rows][:, known] for one in series])
    return feed
