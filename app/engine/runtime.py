"""A bundle being served: its graphs as functions of arrays. State is a value, handed in and handed back.

Letters for shapes are those of `model.contract`.
"""

from __future__ import annotations

import hashlib
import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from app.engine.arrays import Floats, Times
from app.engine.graphs import CUDA, Graph, Provider, choose_providers, open_graph
from app.engine.session import Build
from model.contract import GRAPHS, METADATA_FILE, Bundle, ContractError

StepGraph = Literal["auto", "encoder", "step"]
TIMING_ROWS, TIMING_RUNS = 64, 7


@dataclass(frozen=True, slots=True)
class Model:
    """The functions of one bundle. `one_step` is the graph that serves T = 1."""

    bundle: Bundle
    build: Build
    encoder: Graph
    decoder: Graph
    explainer: Graph
    one_step: Graph

    @property
    def provider(self) -> str:
        return self.encoder.provider

    def encode(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> Floats:
        """The state (B, S) after observations (B, T, C) at times (B, T) with covariates (B, T, K); NaN is missing."""
        graph = self.one_step if values.shape[1] == 1 else self.encoder
        return graph(**self._observed(values, time, covariates, state))[0]

    def decode(self, state: Floats, time: Times, future: Floats) -> Floats:
        """Quantiles (B, H, C, Q) of the H steps after the last observation, which was at `time` (B,).

        `future` (B, H, K') holds the covariates known ahead.
        """
        ahead = {"future_covariates": future} if self.bundle.known_ahead else {}
        return self.decoder(state=state, time=time, **ahead)[0]

    def explain(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """Update gate, reset gate and hidden state at every step, each (B, T, L, N)."""
        update, reset, hidden = self.explainer(**self._observed(values, time, covariates, state))
        return update, reset, hidden

    def fresh(self, rows: int) -> Floats:
        """The state (rows, S) of sessions that have seen nothing."""
        return np.zeros((rows, self.bundle.state_size), np.float32)

    def recent(self, state: Floats) -> Floats:
        """The last R observations (R, C) that one state (S,) remembers, newest last."""
        part = self.bundle.state["recent"]
        return state[part.span].reshape(part.shape)

    def _observed(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> dict[str, Floats | Times]:
        known = {"covariates": covariates} if self.bundle.covariates else {}
        return {"values": values, "time": time, "state": state, **known}


def open_model(directory: Path, provider: Provider, step_graph: StepGraph) -> Model:
    """The bundle in a directory `<name>/<version>`; raises ContractError saying what is wrong with it."""
    try:
        text = (directory / METADATA_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{METADATA_FILE} cannot be read: {error}") from error
    bundle = Bundle.from_json(text)
    place = (directory.parent.name, directory.name)
    if (bundle.name, bundle.version) != place:
        raise ContractError(f"{METADATA_FILE} says {bundle.name}/{bundle.version}, but it lies in {'/'.join(place)}")
    encoder, decoder, step, explain = (
        open_graph(directory, name, bundle, choose_providers(provider)) for name in GRAPHS
    )
    one_step = _one_step(bundle, encoder, step, step_graph)
    return Model(
        bundle=bundle, build=_build(bundle), encoder=encoder, decoder=decoder, explainer=explain, one_step=one_step
    )


def _build(bundle: Bundle) -> Build:
    """What a state belongs to: another encoder or decoder gives its numbers another meaning."""
    graphs = "".join(bundle.checksums[f"{graph}.onnx"] for graph in ("encoder", "decoder"))
    return Build(bundle.name, bundle.version, hashlib.sha256(graphs.encode()).digest()[:8])


def _one_step(bundle: Bundle, encoder: Graph, step: Graph, wish: StepGraph) -> Graph:
    if wish != "auto":
        return encoder if wish == "encoder" else step
    if encoder.provider == CUDA:  # cuDNN has no GRU of Cho's kind, so the encoder would run on the CPU
        return step
    inputs = {
        tensor.name: np.zeros([TIMING_ROWS if axis == "B" else int(axis) for axis in tensor.axes], tensor.dtype)
        for tensor in bundle.inputs("step")
    }
    return min((step, encoder), key=lambda graph: _seconds(lambda: graph(**inputs)))


def _seconds(work: Callable[[], object]) -> float:
    """The best of several runs, which is the one that was disturbed least."""
    runs = []
    for _ in range(TIMING_RUNS):
        began = clock.perf_counter()
        work()
        runs.append(clock.perf_counter() - began)
    return min(runs)
