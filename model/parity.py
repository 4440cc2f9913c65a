"""Three computations of one forecaster must agree: torch from a series' start, numpy and onnxruntime by the state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from model.contract import GRAPHS, Bundle
from model.ensemble import AnyForecaster
from model.serving import Serving

TOLERANCE = 1e-4  # relative to the largest value compared
SERIES = 3
Feed = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]


class ParityError(RuntimeError):
    """Two computations of the same forecaster differ; nothing was exported."""


def check_parity(forecaster: AnyForecaster, serving: Serving, bundle: Bundle, directory: Path) -> None:
    """Compare the computations on random series with missing values: at once, step by step and row by row.

    Raises ParityError naming the computations that differ and by how much.
    """
    history, ahead = example(bundle)
    encoder, decoder, step, explain = (Session(directory / f"{name}.onnx") for name in GRAPHS)
    empty = np.zeros((SERIES, bundle.state_size), np.float32)
    encoded = encoder(history | {"state": empty})
    alone = [encoder(_row(history, i) | {"state": empty[:1]}) for i in range(SERIES)]
    agree_encoded(
        "a batch and its rows alone", [np.concatenate(parts) for parts in zip(*alone, strict=True)], encoded, bundle
    )
    agree_encoded("single steps and all steps at once", one_by_one(encoder, history, empty), encoded, bundle)
    agree_encoded("the step graph and the encoder", one_by_one(step, history, empty), encoded, bundle)
    state = encoded[0]
    raw = decoder(ahead | {"state": uncorrected(state, bundle)})[0]
    agree("torch and onnxruntime", torch_forecast(forecaster, history, ahead), raw)
    quantiles = decoder(ahead | {"state": state})[0]
    if (np.diff(quantiles, axis=-1) < 0).any():
        raise ParityError("the decoder's quantiles cross; the forecaster must not be served")

    past = history["values"], history["time"], history.get("covariates"), empty
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # numpy warns where NaN means missing
        agree_encoded("numpy and onnxruntime in encoding", serving.encode(*past), encoded, bundle)
        agree(
            "numpy and onnxruntime in decoding",
            serving.decode(state, ahead["time"], ahead.get("future_covariates")),
            quantiles,
        )
        for ours, theirs in zip(serving.explain(*past), explain(history | {"state": empty}), strict=True):
            agree("numpy and onnxruntime in explaining", ours, theirs)


class Session:
    """A graph in onnxruntime, on one thread: feeds by name to outputs in order."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, feed: Feed) -> list[NDArray[np.float32]]:
        return list(self._session.run(None, feed))


def example(bundle: Bundle) -> tuple[Feed, Feed]:
    """Random series a little longer than the longest season, and what is known of the steps after them."""
    random = np.random.default_rng(0)
    steps = min(max(bundle.seasons, default=1), 400) + 8
    values = 5 + random.standard_normal((SERIES, steps, len(bundle.channels)))
    values[random.random(values.shape) < 0.1] = np.nan
    time = 1_700_000_000 // bundle.frequency * bundle.frequency + bundle.frequency * np.arange(steps)
    history: Feed = {"values": values.astype(np.float32), "time": np.tile(time, (SERIES, 1))}
    ahead: Feed = {"time": history["time"][:, -1]}
    if bundle.covariates:
        history["covariates"] = random.standard_normal((SERIES, steps, len(bundle.covariates))).astype(np.float32)
    if bundle.known_ahead:
        shape = (SERIES, bundle.horizon, len(bundle.known_ahead))
        ahead["future_covariates"] = random.standard_normal(shape).astype(np.float32)
    return history, ahead


def one_by_one(graph: Session, history: Feed, state: Floats) -> tuple[Floats, Floats]:
    """The state after feeding every step alone, and the surprise of each."""
    surprises = []
    for t in range(history["time"].shape[1]):
        now = {name: value[:, t : t + 1] for name, value in history.items()}
        state, surprise = graph(now | {"state": state})
        surprises.append(surprise)
    return state, np.concatenate(surprises, 1)


def uncorrected(state: Floats, bundle: Bundle) -> Floats:
    """States (B, S) whose bands were never corrected."""
    raw = state.copy()
    if bundle.calibration:
        raw[:, bundle.state["correction"].span] = 0
    return raw


@torch.no_grad()
def torch_forecast(forecaster: AnyForecaster, history: Feed, ahead: Feed) -> NDArray[np.float32]:
    """Forecasts from the end of series, by the model that was trained."""
    a, batch, steps = forecaster.architecture, *history["time"].shape
    tracked = forecaster.track(torch.from_numpy(history["values"]))
    none = np.zeros((batch, steps, 0), np.float32), np.zeros((batch, a.horizon, 0), np.float32)
    covariates = torch.from_numpy(history.get("covariates", none[0]))
    outputs = forecaster(tracked, torch.from_numpy(history["time"]), covariates)
    future = torch.from_numpy(ahead.get("future_covariates", none[1]))
    quantiles = forecaster.forecast(outputs[-1], tracked.at(steps - 1), torch.from_numpy(ahead["time"]), future)
    by_channel = quantiles.unflatten(0, (batch, -1)).transpose(1, 2)
    return np.asarray(by_channel.numpy(), np.float32)


def agree_encoded(what: str, ours: Sequence[Floats], theirs: Sequence[Floats], bundle: Bundle) -> None:
    """`agree` for every slice of states, each by its own size, and for surprises."""
    for name, part in bundle.state.items():
        agree(f"{what} ({name})", ours[0][:, part.span], theirs[0][:, part.span])
    agree(f"{what} (surprise)", ours[1], theirs[1])


def agree(what: str, ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    """Raise ParityError where two results differ, or are missing in different places."""
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        raise ParityError(f"{what} differ in what is missing; nothing was exported")
    if np.isnan(theirs).all():
        return
    difference = np.nanmax(np.abs(ours - theirs)) / max(np.nanmax(np.abs(theirs)), 1.0)
    if not difference <= TOLERANCE:
        raise ParityError(f"{what} differ by {difference:.2g} relative, more than {TOLERANCE:g}; nothing was exported")


def _row(feed: Feed, i: int) -> Feed:
    return {name: value[i : i + 1] for name, value in feed.items()}
