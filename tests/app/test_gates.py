"""The gates of a session are made visible: what they say can be computed from what the network did."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.engine.operations.gates import LONGEST_REPLAY, ReadGates, memory_steps, past_share
from app.engine.operations.opening import Open
from app.engine.operations.stepping import TakeSteps
from app.errors import SessionNotFound
from tests.bundles import RECENT
from tests.conftest import NOON, column, key


def opened(lab, *history, model="sum", **more):
    lab.ask(Open(key(), model=model, start=NOON, history=column(*history), **more))


def gates_of(*update) -> np.ndarray:
    """Update gates (T, 1, 1)."""
    return np.array(update, np.float32)[:, None, None]


def test_gates_are_those_of_the_last_steps(lab):
    opened(lab, 0.5, None, 0.25, 0.75)
    found = lab.ask(ReadGates(key(), 3))
    assert (found.first, found.began) == (2, 1)
    assert found.update.shape == found.reset.shape == (3, 1, 2)
    assert found.update[:, 0, 1].tolist() == [0.0, 0.25, 0.75]


def test_what_is_older_than_the_session_remembers_is_not_replayed(lab):
    opened(lab, *range(RECENT + 4))
    found = lab.ask(ReadGates(key(), 1000))
    assert (found.first, found.began) == (5, 5)
    assert found.update[:, 0, 0].tolist() == list(range(4, RECENT + 4))


def test_reading_gates_moves_nothing(lab):
    opened(lab, 1, 2)
    before = lab.state("a")
    lab.ask(ReadGates(key(), 2))
    assert (lab.state("a") == before).all()
    assert lab.ask(TakeSteps(key(), column(3))).step == 3


def test_a_session_without_steps_has_no_gates(lab):
    opened(lab)
    found = lab.ask(ReadGates(key(), 5))
    assert found.update.shape == (0, 1, 2)
    assert np.isnan(memory_steps(found.update)).all()
    assert past_share(found.update).shape == (0, 1)


def test_each_channel_has_rows_of_its_own_and_missing_covariates_are_no_error(lab):
    values = np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)
    lab.ask(Open(key(), model="pair", start=NOON, history=values, covariates={"rain": np.ones(2, np.float32)}))
    found = lab.ask(ReadGates(key(), 2))
    assert found.channels == ("in", "out")
    assert found.update[:, :, 0].tolist() == values.tolist()


def test_gates_of_nobody_are_refused(lab):
    with pytest.raises(SessionNotFound):
        lab.ask(ReadGates(key("nobody"), 1))


def test_memory_is_the_steps_until_one_in_e_is_left():
    assert memory_steps(gates_of(math.exp(-0.1), math.exp(-0.3)))[0, 0] == pytest.approx(5)
    assert memory_steps(gates_of(0.99, 0.99))[0, 0] == pytest.approx(99.5, rel=1e-3)


def test_one_closed_gate_forgets_and_saturated_gates_give_finite_memory():
    assert memory_steps(gates_of(0.0, 1.0))[0, 0] < 1
    assert 1e6 < memory_steps(gates_of(1.0, 1.0))[0, 0] < np.inf


def test_memory_is_what_a_unit_that_reads_nothing_shows():
    """The equation itself, run until 1/e of what it held is left."""
    rng = np.random.default_rng(0)
    update = rng.uniform(0.9, 0.99, size=(5000, 1, 1)).astype(np.float32)
    kept = np.cumprod(update[:, 0, 0])
    assert memory_steps(update)[0, 0] == pytest.approx(np.argmax(kept < 1 / math.e), abs=2)


def test_the_share_of_the_past_falls_with_every_step_by_its_gate():
    assert past_share(gates_of(0.5, 0.25, 0.8))[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.8])
    two_units = np.stack([gates_of(0.5, 0.5), gates_of(1.0, 0.0)], axis=2)[..., 0]
    assert past_share(two_units)[:, 0].tolist() == pytest.approx([0.125, 0.25])


def test_a_replay_is_bounded(lab, monkeypatch):
    monkeypatch.setattr("app.engine.operations.gates.LONGEST_REPLAY", 20)
    opened(lab, *range(100), model="long")
    found = lab.ask(ReadGates(key(), 1000))
    assert (found.first, found.began, len(found.update)) == (81, 81, 20)
    assert LONGEST_REPLAY >= 336  # the shipped model remembers two weeks
