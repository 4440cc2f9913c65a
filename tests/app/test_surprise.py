"""Every observation is answered with its surprise, and a session says how its bands did."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.engine import TickLimits
from app.engine.operations.looking import Describe, Peek
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.errors import Refusal
from tests.app.test_engine import ANY, opened, steps
from tests.bundles import expected, surprises
from tests.conftest import Lab, column, key

SERIES = (5, None, 7, 100, 3)


def found(stepped) -> list[float]:
    return stepped.surprise[:, 0].tolist()


def told(values) -> list[float]:
    return pytest.approx(surprises(values), nan_ok=True)


@pytest.mark.parametrize("wish", [None, ANY], ids=["observed", "forecast"])
def test_each_observation_is_judged_by_the_forecast_before_it(lab, wish):
    lab.ask(opened())
    at_once = lab.ask(steps("a", *SERIES, wish=wish))
    lab.ask(opened("b"))
    singly = [lab.ask(steps("b", value, wish=wish)) for value in SERIES]
    assert found(at_once) == told(SERIES)
    assert [found(one)[0] for one in singly] == told(SERIES)


def test_a_repeated_step_is_answered_with_the_same_surprise(lab):
    lab.ask(opened())
    first = lab.ask(steps("a", *SERIES))
    again = lab.ask(steps("a", SERIES[-1], step=5))
    assert again.replayed
    assert found(again) == found(first)[-1:]


def test_of_what_was_applied_before_only_the_newest_surprise_is_known(lab):
    lab.ask(opened())
    lab.ask(steps("a", *SERIES[:3]))
    resumed = lab.ask(steps("a", *SERIES, step=1))
    assert np.isnan(resumed.surprise[:2]).all()
    assert found(resumed)[2:] == pytest.approx(surprises(SERIES)[2:])
    older = lab.ask(steps("a", *SERIES[:2], step=1))
    assert np.isnan(older.surprise).all()
    assert older.surprise.shape == (2, 1)


def test_a_gap_that_is_filled_has_no_surprise_of_its_own(lab):
    lab.ask(opened(history=column(1), on_gap="missing"))
    reply = lab.ask(steps("a", 4, 5, step=4))
    assert found(reply) == pytest.approx(surprises([1, None, None, 4, 5])[3:])


def test_columns_have_the_surprise_of_each(lab):
    lab.ask_all([opened("a", history=column(1)), opened("b"), opened("c", history=column(1, 2), on_gap="missing")])
    a, b, c, nobody = lab.ask(
        TakeColumns([key("a"), key("b"), key("c"), key("nobody")], column(2, 2, 4, 0), [None, None, 4, None])
    )
    assert found(a) == pytest.approx(surprises([1, 2])[1:])
    assert np.isnan(b.surprise).all()
    assert found(c) == pytest.approx(surprises([1, 2, None, 4])[3:])
    assert isinstance(nobody, Refusal)


def test_a_long_history_in_many_chunks_has_all_its_surprises(models):
    lab = Lab(models, limits=TickLimits(chunk_steps=7))
    lab.ask(opened())
    values = [i % 7 for i in range(300)]
    assert found(lab.ask(steps("a", *values))) == pytest.approx(surprises(values), nan_ok=True, rel=1e-4)


def test_every_channel_has_its_own(lab):
    lab.ask(opened("p", model="pair"))
    lab.ask(TakeSteps(key("p"), np.array([[1, 10]], np.float32)))
    reply = lab.ask(TakeSteps(key("p"), np.array([[2, np.nan]], np.float32)))
    assert reply.surprise[0, 0] == pytest.approx(surprises([1, 2])[1])
    assert np.isnan(reply.surprise[0, 1])


def test_a_reply_keeps_no_more_than_its_own_surprises_in_memory(lab):
    lab.ask_all([opened(f"s{i}") for i in range(50)])
    for reply in lab.ask_all([steps(f"s{i}", 1) for i in range(50)]):
        surprise = reply.surprise
        while surprise.base is not None:
            surprise = surprise.base
        assert surprise.nbytes == 4


def test_a_session_says_how_its_bands_did_and_looking_or_asking_what_if_does_not_count(models):
    lab = Lab(models, resident=1)
    lab.ask(opened())
    assert lab.ask(Describe(key())).coverage.total.empirical is None
    near = expected([5])[0] + 15  # the band reaches 16 to either side
    lab.ask(steps("a", 5, near, 10_000, None))
    lab.ask(Peek(key(), ANY, values=column(1, 2)))
    described = lab.ask(Describe(key()))
    assert described.coverage.promise.target == pytest.approx(0.8)
    assert (described.coverage.total.n, described.coverage.total.inside) == (2, 1)
    assert described.coverage.total.empirical == 0.5
    lab.ask(opened("b"))  # takes the only place in memory
    again = lab.ask(Describe(key()))
    assert not again.is_resident
    assert again.coverage == described.coverage
