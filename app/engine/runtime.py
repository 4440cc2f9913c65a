"""A bundle being served: its graphs as functions of arrays. State is a value, handed in and handed back.

Letters for shapes are those of `model.contract`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.engine.arrays import Floats, Index, Times
from app.engine.graphs import CUDA, Graph, Provider, choose_providers, open_graph
from app.engine.session import Build
from model.contract import GRAPHS, METADATA_FILE, Bundle, ContractError

StepGraph = Literal["auto", "encoder", "step"]
BLOCK_ROWS = 4


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

    def encode(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> tuple[Floats, Floats]:
        """The state (B, S) after observations (B, T, C) at times (B, T) with covariates (B, T, K), where NaN is missing, and
        the surprise (B, T, C) of each: NaN where it is missing or no step came before.
        """
        graph = self.one_step if values.shape[1] == 1 else self.encoder
        rows = len(values)
        state, surprise = graph(**self._observed(*whole_blocks(values, time, covariates, state)))
        return state[:rows], surprise[:rows]

    def decode(self, state: Floats, time: Times, future: Floats) -> Floats:
        """Quantiles (B, H, C, Q) of the H steps after the last observation, which was at `time` (B,).

        `future` (B, H, K') holds the covariates known ahead.
        """
        rows = len(state)
        state, time, future = whole_blocks(state, time, future)
        ahead = {"future_covariates": future} if self.bundle.known_ahead else {}
        return self.decoder(state=state, time=time, **ahead)[0][:rows]

    def explain(self, values: Floats, time: Times, covariates: Floats, state: Floats) -> tuple[Floats, Floats, Floats]:
        """Update gate, reset gate and hidden state at every step, each (B, T, L, N)."""
        update, reset, hidden = self.explainer(**self._observed(values, time, covariates, state))
        return update, reset, hidden

    def fresh(self, rows: int) -> Floats:
        """The state (rows, S) of sessions that have seen nothing."""
        return np.zeros((rows, self.bundle.state_size), np.float32)

    def surprise(self, state: Floats) -> Floats:
        """How surprising the last observation (C,) was that one state (S,) has seen."""
        return state[self.bundle.state["surprise"].span]

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
    one_step = _one_step(encoder, step, step_graph)
    return Model(
        bundle=bundle, build=_build(bundle), encoder=encoder, decoder=decoder, explainer=explain, one_step=one_step
    )


def _build(bundle: Bundle) -> Build:
    """What a state belongs to: another encoder or decoder gives its numbers another meaning."""
    graphs = "".join(bundle.checksums[f"{graph}.onnx"] for graph in ("encoder", "decoder"))
    return Build(bundle.name, bundle.version, hashlib.sha256(graphs.encode()).digest()[:8])


def _one_step(encoder: Graph, step: Graph, wish: StepGraph) -> Graph:
    """The encoder, with which one step at a time equals all steps at once bit for bit, where it can be used.

    On a GPU it cannot: cuDNN has no GRU of Cho's kind, so the encoder would run on the CPU.
    """
    if wish == "auto":
        return step if encoder.provider == CUDA else encoder
    return encoder if wish == "encoder" else step


def whole_blocks(*arrays: Any) -> tuple[Any, ...]:
    """Arrays with their last row repeated until there is a multiple of BLOCK_ROWS of them.

    onnxruntime's matrix products take rows in blocks and compute what is left over in another order of additions: filled up, a
    row gives the same bits in any company.
    """
    rows = len(arrays[0])
    if rows % BLOCK_ROWS == 0:
        return arrays
    return tuple(array.take(_filled_up(rows), axis=0) for array in arrays)


@lru_cache(maxsize=1024)
def _filled_up(rows: int) -> Index:
    """The numbers of rows, the last one repeated until there are whole blocks of them."""
    return np.minimum(np.arange(rows + -rows % BLOCK_ROWS), rows - 1)
