"""onnxruntime alone: what the graphs of a bundle cost with nothing around them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from model.contract import METADATA_FILE, Bundle
from tests.benchmarks.serving.load import Sample
from tests.benchmarks.serving.machine import on_core

Run = Callable[[], Any]


class Raw:
    """The encoder and the decoder of a bundle, one thread each, as the service opens them."""

    def __init__(self, directory: Path) -> None:
        self._bundle = Bundle.from_json((directory / METADATA_FILE).read_text(encoding="utf-8"))
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._encoder, self._decoder = (
            ort.InferenceSession(directory / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "decoder")
        )

    def encode(self, rows: int, steps: int = 1) -> Run:
        """One run of `steps` observations for each of `rows` sessions."""
        inputs = self._inputs(rows, steps)
        return lambda: self._encoder.run(None, inputs)

    def encode_and_decode(self, rows: int, steps: int = 1) -> Run:
        """The same, and the forecasts after it."""
        inputs, known = self._inputs(rows, steps), len(self._bundle.known_ahead)
        ahead = {"time": inputs["time"][:, -1].copy()}
        if known:
            ahead["future_covariates"] = np.full((rows, self._bundle.horizon, known), np.nan, np.float32)

        def run() -> Any:
            state = self._encoder.run(None, inputs)[0]
            return self._decoder.run(None, {"state": state, **ahead})

        return run

    def _inputs(self, rows: int, steps: int) -> dict[str, np.ndarray]:
        """Observations after a history long enough to fill the state."""
        bundle, random = self._bundle, np.random.default_rng(0)
        shape, history = (rows, steps, len(bundle.channels)), 400
        grid = bundle.frequency * (470_000 + np.arange(history + steps))
        inputs: dict[str, np.ndarray] = {"state": np.zeros((1, bundle.state_size), np.float32)}
        past = random.uniform(1000, 5000, (1, history, shape[2])).astype(np.float32)
        inputs |= self._observed(past, grid[None, :history])
        state = self._encoder.run(None, inputs)[0]
        times = np.repeat(grid[None, history:], rows, 0)
        values = random.uniform(1000, 5000, shape).astype(np.float32)
        return {"state": np.repeat(state, rows, 0), **self._observed(values, times)}

    def _observed(self, values: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
        known = len(self._bundle.covariates)
        covariates = np.full((*values.shape[:2], known), np.nan, np.float32)
        return {"values": values, "time": times} | ({"covariates": covariates} if known else {})


def measure(run: Run, observations: int, seconds: float, core: int) -> Sample:
    """The median run on the server's core, as a sample."""
    taken: list[tuple[float, float]] = []
    with on_core(core):
        run()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter(), time.thread_time()
            run()
            taken.append((time.perf_counter() - began[0], time.thread_time() - began[1]))
    wall, cpu = np.array(taken).T
    return Sample(float(np.median(wall)), observations, wall, server_cpu=float(np.median(cpu)))
