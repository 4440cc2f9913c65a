"""What the engine relies on is tried on every model before it serves: a row in a batch equals the row alone, and many steps at once equal single steps."""

from __future__ import annotations

import itertools

import numpy as np

from app.engine.arrays import Floats, Times
from app.engine.runtime import Model
from model.contract import ContractError

ROWS, STEPS = 5, 7
TOLERANCE = 1e-4
EPOCH = 1_700_000_000


def self_test(model: Model) -> bool:
    """Whether the promises hold bit for bit; raises ContractError when they do not even hold within TOLERANCE."""
    values, time, covariates, future = _inputs(model)
    last = np.ascontiguousarray(time[:, -1])

    together, surprise = model.encode(values, time, covariates, model.fresh(ROWS))
    by_row = [
        model.encode(values[i : i + 1], time[i : i + 1], covariates[i : i + 1], model.fresh(1)) for i in range(ROWS)
    ]
    alone, surprise_alone = (np.concatenate(parts) for parts in zip(*by_row, strict=True))
    singly, by_step = model.fresh(ROWS), []
    for now in (slice(t, t + 1) for t in range(STEPS)):
        singly, found = model.encode(values[:, now], time[:, now], covariates[:, now], singly)
        by_step.append(found)
    quantiles = model.decode(together, last, future)
    each = np.concatenate([
        model.decode(together[i : i + 1], last[i : i + 1], future[i : i + 1]) for i in range(ROWS)
    ])  # fmt: skip

    _check_shapes(model, together, surprise, quantiles)
    _check_gates(model, values, time, covariates)
    return all([
        _agree("a row in a batch and the row alone", together, alone),
        _agree("many steps at once and single steps", together, singly),
        _agree("surprises in a batch and alone", surprise, surprise_alone),
        _agree("surprises of many steps at once and of single steps", surprise, np.concatenate(by_step, 1)),
        _agree("forecasts in a batch and alone", quantiles, each),
    ])  # fmt: skip


def _inputs(model: Model) -> tuple[Floats, Times, Floats, Floats]:
    bundle, random = model.bundle, np.random.default_rng(0)
    values = random.uniform(1, 100, (ROWS, STEPS, len(bundle.channels))).astype(np.float32)
    values[0, 2] = np.nan
    start = EPOCH // bundle.frequency + np.arange(ROWS)[:, None]
    time = (start + np.arange(STEPS)) * bundle.frequency
    covariates = random.normal(size=(ROWS, STEPS, len(bundle.covariates))).astype(np.float32)
    future = random.normal(size=(ROWS, bundle.horizon, len(bundle.known_ahead))).astype(np.float32)
    return values, time, covariates, future


def _check_shapes(model: Model, state: Floats, surprise: Floats, quantiles: Floats) -> None:
    bundle = model.bundle
    _check_shape("encoder.onnx", state, (ROWS, bundle.state_size))
    _check_shape("encoder.onnx", surprise, (ROWS, STEPS, len(bundle.channels)))
    _check_shape("decoder.onnx", quantiles, (ROWS, bundle.horizon, len(bundle.channels), len(bundle.quantiles)))
    if not np.isfinite(quantiles).all():
        raise ContractError("self-test: decoder.onnx gives quantiles that are not finite")
    if any((quantiles[..., low] > quantiles[..., high]).any() for low, high in _neighbours(quantiles.shape[-1])):
        raise ContractError("self-test: decoder.onnx gives quantiles that decrease with their level")


def _check_gates(model: Model, values: Floats, time: Times, covariates: Floats) -> None:
    bundle = model.bundle
    shape = (ROWS, STEPS, len(bundle.channels) * bundle.layers, bundle.units)
    for gate in model.explain(values, time, covariates, model.fresh(ROWS)):
        _check_shape("explain.onnx", gate, shape)


def _check_shape(file: str, found: Floats, expected: tuple[int, ...]) -> None:
    if found.shape != expected:
        raise ContractError(f"self-test: {file} gives an array of shape {found.shape}, expected {expected}")


def _neighbours(count: int) -> itertools.pairwise[tuple[int, int]]:
    return itertools.pairwise(range(count))


def _agree(what: str, left: Floats, right: Floats) -> bool:
    """Whether both are equal bit for bit; raises ContractError when they differ by more than TOLERANCE."""
    if not np.allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        raise ContractError(f"self-test: {what} differ by {np.nanmax(np.abs(left - right)):.3g}")
    return bool(np.array_equal(left, right, equal_nan=True))
