"""One engine, many sessions: what comes out is what the accumulator says, whatever came together and in which pieces."""

from __future__ import annotations

import random

import numpy as np
import pytest

from app.engine.backlog import TickLimits
from app.engine.forecast import Wish
from app.engine.operations.looking import Describe, ListSessions, Peek, ReadHistory
from app.engine.operations.opening import Close, Open
from app.engine.operations.series import ForecastSeries, Series
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.steps import Place
from app.engine.task import Task
from app.errors import (
    Internal,
    InvalidRequest,
    ModelMismatch,
    ModelNotFound,
    Moment,
    Overloaded,
    Refusal,
    SessionExists,
    SessionGone,
    SessionNotFound,
    StepConflict,
    StoreUnavailable,
)
from app.stores.base import StoreError
from app.stores.memory import MemoryStore
from tests.bundles import FATAL, FREQUENCY, expected
from tests.conftest import NOON, Lab, column, key

ANY = Wish()


def opened(name="a", model="sum", version="1", **more):
    return Open(key(name), model=model, version=version, start=NOON, **more)


def steps(name, *values, step=None, wish=ANY):
    return TakeSteps(key(name), column(*values), Place(step), wish=wish)


def median(reply) -> list[float]:
    return reply.forecast.values[:, 0, reply.forecast.levels.index(0.5)].tolist()


def test_a_step_is_answered_with_the_forecast_after_it(lab):
    lab.ask(opened())
    reply = lab.ask(steps("a", 5))
    assert median(reply) == expected([5])
    assert (reply.step, reply.time, reply.applied, reply.replayed) == (1, NOON, 1, False)
    assert reply.forecast.start == NOON + FREQUENCY
    assert median(lab.ask(steps("a", None, 7))) == expected([5, None, 7])


def test_a_history_counts_as_steps_and_is_followed_by_a_forecast(lab):
    reply = lab.ask(opened(history=column(1, 2, 3)))
    assert reply.created
    assert reply.session.step == 3
    assert median(reply) == expected([1, 2, 3])
    assert median(lab.ask(steps("a", 4, step=4))) == expected([1, 2, 3, 4])


def test_a_session_without_history_has_no_forecast_and_starts_at_the_present_grid_time(lab):
    lab.clock = NOON + 1234.5
    reply = lab.ask(Open(key(), model="sum", version="1"))
    assert reply.forecast is None
    assert reply.session.next_time == NOON


def test_a_history_without_start_ends_at_the_present_grid_time(lab):
    lab.clock = NOON + 1234.5
    assert lab.ask(Open(key(), model="sum", version="1", history=column(1, 2))).session.time == NOON


def test_one_long_history_equals_single_steps_in_any_company(models):
    lab = Lab(models, limits=TickLimits(rows=8, chunk_steps=5, long_steps=12))
    values = [i % 3 for i in range(60)]
    crowd = [opened(f"c{i}", history=column(*values[: 7 * i])) for i in range(8)]
    lab.ask_all([*crowd, opened("one"), opened("whole", history=column(*values))])
    for value in values:
        lab.ask_all([steps("one", value), *(steps(f"c{i}", i) for i in range(8))])
    assert np.array_equal(lab.state("one"), lab.state("whole"))
    assert median(lab.ask(Peek(key("one"), ANY))) == expected(values)
    for i in range(8):
        assert median(lab.ask(Peek(key(f"c{i}"), ANY))) == expected(values[: 7 * i] + [i] * 60)


def test_live_steps_are_not_held_up_by_long_histories(models):
    lab = Lab(models, limits=TickLimits(rows=8, chunk_steps=4, long_steps=8))
    lab.ask(opened("live"))
    long = [Task(opened(f"h{i}", history=column(*range(50)))) for i in range(5)]
    lab.engine.tick(long)
    assert not any(task.is_answered for task in long)
    live = Task(steps("live", 1))
    lab.engine.tick([live])
    assert live.is_answered
    assert max(tick.observations for tick in lab.ticks) <= 8 + 1
    lab.run(long)
    assert all(median(task.reply) == expected(range(50)) for task in long)


def test_a_history_is_visible_only_when_all_of_it_is_applied(models):
    lab = Lab(models, limits=TickLimits(chunk_steps=4, long_steps=4))
    task = Task(opened(history=column(*range(10))))
    lab.engine.tick([task])
    assert not task.is_answered
    with pytest.raises(SessionNotFound):
        lab.ask(Describe(key()))
    lab.run([task])
    assert lab.ask(Describe(key())).session.step == 10


def test_the_last_step_again_has_the_same_reply_and_moves_nothing(lab):
    lab.ask(opened())
    first = lab.ask(steps("a", 5, step=1))
    before = lab.state("a")
    again = lab.ask(steps("a", 5, step=1))
    assert again.replayed
    assert again.applied == 0
    assert median(again) == median(first)
    assert np.array_equal(lab.state("a"), before, equal_nan=True)


def test_an_older_step_again_has_no_forecast(lab):
    lab.ask(opened(history=column(5, 6)))
    reply = lab.ask(steps("a", 5, step=1))
    assert reply.replayed
    assert (reply.step, reply.time, reply.forecast) == (1, NOON, None)
    assert lab.ask(Describe(key())).session.step == 2


def test_a_repeated_body_resumes_where_it_stopped(lab):
    lab.ask(opened(history=column(1, 2)))
    reply = lab.ask(steps("a", 1, 2, 3, 4, step=1))
    assert (reply.applied, reply.step, reply.replayed) == (2, 4, False)
    assert median(reply) == expected([1, 2, 3, 4])


def test_a_gap_is_stepped_through_as_missing(lab):
    lab.ask(opened(history=column(1), on_gap="missing"))
    reply = lab.ask(steps("a", 4, step=4))
    assert (reply.applied, reply.filled, reply.step) == (1, 2, 4)
    assert median(reply) == expected([1, None, None, 4])
    assert lab.ask(steps("a", 4, step=4)).replayed


def test_a_body_with_a_conflict_applies_none_of_its_steps(lab):
    lab.ask(opened(history=column(1, 2)))
    with pytest.raises(StepConflict):
        lab.ask(steps("a", 2, 99, 3, step=1))
    assert lab.ask(Describe(key())).session.step == 2


def test_columns_move_each_session_by_itself(lab):
    lab.ask_all([opened("a", history=column(1)), opened("b"), opened("c", history=column(1, 2), on_gap="missing")])
    numbers = [None, 9, 4, None, 1]
    keys = [key("a"), key("b"), key("c"), key("nobody"), key("d")]
    lab.ask(opened("d", history=column(7)))
    a, b, c, nobody, d = lab.ask(TakeColumns(keys, column(2, 2, 4, 0, 7), numbers, wish=ANY))
    assert median(a) == expected([1, 2])
    assert b.code == "step-gap"
    assert median(c) == expected([1, 2, None, 4])
    assert nobody.code == "session-not-found"
    assert d.replayed
    assert median(d) == expected([7])


def test_columns_give_all_forecasts_the_levels_of_the_first(lab):
    lab.ask_all([opened("a", version="2"), opened("b", version="1")])
    a, b = lab.ask(TakeColumns([key("a"), key("b")], column(1, 1), wish=ANY))
    assert a.forecast.levels == b.forecast.levels == (0.25, 0.5, 0.75)
    assert np.array_equal(a.forecast.values, b.forecast.values)


def test_a_peek_does_not_move_the_session_even_when_it_asks_what_if(lab):
    lab.ask(opened(history=column(1)))
    what_if = lab.ask(Peek(key(), ANY, values=column(2, 3)))
    assert median(what_if) == expected([1, 2, 3])
    assert what_if.forecast.start == NOON + 3 * FREQUENCY
    assert median(lab.ask(Peek(key(), ANY))) == expected([1])


def test_history_gives_the_last_observations_with_their_steps(lab):
    lab.ask(opened(history=column(*range(10), None)))
    reply = lab.ask(ReadHistory(key(), 3))
    assert reply.first == 9
    assert np.array_equal(reply.values, column(8, 9, None), equal_nan=True)
    assert len(lab.ask(ReadHistory(key(), 100)).values) == 8
    lab.ask(opened("short", history=column(1)))
    assert lab.ask(ReadHistory(key("short"), 100)).values.tolist() == [[1]]


def test_covariates_go_to_their_places_and_absent_ones_are_missing(lab):
    lab.ask(opened("p", model="pair"))
    values = np.array([[1, 10]], np.float32)
    rain = {"rain": np.array([100], np.float32)}
    future = {"holiday": np.array([1000, 2000], np.float32)}
    reply = lab.ask(TakeSteps(key("p"), values, covariates=rain, wish=Wish(levels=(0.5,), future=future)))
    assert reply.forecast.values[:, 0, 0].tolist() == [1 + 100 + 1000 + 1, 1 + 100 + 2000 + 2, 1 + 100 + 3]
    assert reply.forecast.values[:, 1, 0].tolist() == [10 + 100 + 1000 + 1, 10 + 100 + 2000 + 2, 10 + 100 + 3]


def test_a_missing_observation_is_written_the_same_for_any_number_of_channels(lab):
    lab.ask(opened("p", model="pair"))
    assert lab.ask(TakeSteps(key("p"), column(None))).step == 1


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        (TakeSteps(key(), np.ones((1, 2), np.float32)), "has 2 values, but model 'sum' has 1 channels"),
        (TakeSteps(key(), column(1), covariates={"rain": column(1)[0]}), "no covariate 'rain'; it has none"),
        (steps("a", 1, wish=Wish(horizon=4)), "horizon is 4; model 'sum' forecasts 1 to 3"),
        (steps("a", 1, wish=Wish(levels=(0.05,))), "0.05 is outside what model 'sum' was trained for, 0.1 to 0.9"),
        (steps("a", 1, wish=Wish(levels=(0.5, 0.5))), "once each"),
        (steps("a", 1, wish=Wish(future={"sun": column(1)[0]})), "no future covariate 'sun'"),
        (steps("a", FATAL), "the computation failed"),
    ],
)
def test_a_request_that_cannot_be_done_leaves_the_session_and_its_neighbours_alone(lab, operation, complaint):
    lab.ask_all([opened(), opened("b")])
    bad, good = lab.ask_all([operation, TakeSteps(key("b"), column(1, 2))])
    assert isinstance(bad, Refusal)
    assert complaint in bad.detail
    assert good.step == 2
    assert lab.ask(Describe(key())).session.step == 0


def test_a_batch_that_fails_concerns_only_those_in_it_and_the_next_tick_works(lab):
    lab.ask_all([opened(), opened("b"), opened("p", model="pair")])
    failed, beside, other = lab.ask_all(
        [steps("a", FATAL), steps("b", 1), TakeSteps(key("p"), np.ones((1, 2), np.float32))]
    )
    assert isinstance(failed, Internal)
    assert isinstance(beside, Internal)
    assert other.step == 1
    assert median(lab.ask(steps("b", 1))) == expected([1])


def test_levels_between_the_trained_ones_are_interpolated_and_trained_ones_exact(lab):
    lab.ask(opened())
    reply = lab.ask(steps("a", 0, wish=Wish(horizon=1, levels=(0.9, 0.3, 0.1))))
    assert reply.forecast.values[0, 0].tolist() == pytest.approx([17, -7, -15])


def test_series_of_any_lengths_are_forecast_in_their_order_and_nothing_is_kept(lab):
    many = [Series(column(*range(n)), {}, NOON, Wish(levels=(0.5,))) for n in (3, 1, 3, 200, 2)]
    reply = lab.ask(ForecastSeries(many, "sum", "1"))
    assert [forecast.values[:, 0, 0].tolist() for forecast in reply.forecasts] == [
        pytest.approx(expected(range(n)), rel=1e-6) for n in (3, 1, 3, 200, 2)
    ]
    assert reply.forecasts[3].start == NOON + 200 * FREQUENCY
    assert lab.sessions.total == 0


def test_a_series_that_does_not_fit_is_named_by_its_place(lab):
    many = [Series(column(1), {}, NOON, ANY), Series(np.ones((2, 2), np.float32), {}, NOON, ANY)]
    with pytest.raises(InvalidRequest) as refusal:
        lab.ask(ForecastSeries(many, "sum"))
    assert refusal.value.extra["errors"][0]["pointer"] == "/series/1"


def test_an_id_is_taken_until_its_session_is_closed(lab):
    first = lab.ask(opened()).session
    with pytest.raises(SessionExists):
        lab.ask(opened())
    met = lab.ask(opened(return_existing=True))
    assert not met.created
    assert met.session.incarnation == first.incarnation
    with pytest.raises(ModelMismatch):
        lab.ask(opened(version="2", return_existing=True))
    lab.ask(Close(key()))
    assert lab.ask(opened()).session.incarnation != first.incarnation


def test_a_closed_session_says_when_and_why_it_ended(lab):
    lab.ask(opened())
    lab.ask(Close(key()))
    for operation in (steps("a", 1), Peek(key(), ANY), Describe(key()), ReadHistory(key(), 1), Close(key())):
        with pytest.raises(SessionGone) as refusal:
            lab.ask(operation)
        assert refusal.value.extra == {"reason": "closed", "at": Moment(NOON)}
    assert lab.sessions.total == len(lab.sessions.residency) == 0


def test_a_session_that_never_was_is_not_found(lab):
    with pytest.raises(SessionNotFound, match="no session 'a'"):
        lab.ask(steps("a", 1))


def test_an_unknown_model_or_version_is_not_found(lab):
    with pytest.raises(ModelNotFound, match="no model is named 'prod'; there is long, pair, sum"):
        lab.ask(opened(model="prod"))
    with pytest.raises(ModelNotFound, match="has no version '3'; it has 1, 2"):
        lab.ask(opened(version="3"))


def test_the_highest_version_is_the_default(lab):
    assert lab.ask(Open(key(), model="sum")).session.version == "2"


def test_more_sessions_than_allowed_are_refused(models):
    lab = Lab(models, sessions=2)
    lab.ask_all([opened("a"), opened("b")])
    with pytest.raises(Overloaded, match="close some first"):
        lab.ask(opened("c"))
    lab.ask(Close(key("a")))
    assert lab.ask(opened("c")).created


def test_sessions_beyond_the_arena_come_back_from_the_store(models):
    lab = Lab(models, resident=3)
    names = [f"s{i}" for i in range(10)]
    for number, name in enumerate(names):
        lab.ask(opened(name, history=column(number)))
    assert len(lab.sessions.residency) == 3
    for _ in range(2):
        replies = lab.ask_all([steps(name, 1) for name in names])
        assert [reply.forecast.start for reply in replies]
    columns = lab.ask(TakeColumns([key(name) for name in names], column(*[1] * 10), wish=ANY))
    assert [median(reply) for reply in columns] == [expected([number, 1, 1, 1]) for number in range(10)]
    assert len(lab.sessions.residency) == 3
    assert not lab.ask(Describe(key("s0"))).is_resident


def test_a_tick_of_more_sessions_than_have_room_moves_them_all(models):
    lab, chance = Lab(models, resident=8), random.Random(0)
    seen = {f"s{i}": [] for i in range(20)}
    for name in seen:
        lab.ask(opened(name))
    for _ in range(60):
        names = chance.sample(list(seen), chance.randint(1, 14))
        replies = lab.ask_all([steps(name, 1) for name in names])
        for name, reply in zip(names, replies, strict=True):
            seen[name].append(1)
            assert median(reply) == expected(seen[name])
        assert len(lab.sessions.residency) <= 8


def test_another_process_goes_on_from_the_store(models):
    first = Lab(models)
    first.ask(opened(history=column(1, 2)))
    second = Lab(models, store=first.store)
    assert second.sessions.total == 1
    assert median(second.ask(steps("a", 3, step=3))) == expected([1, 2, 3])


def test_a_page_lists_sessions_in_the_order_of_their_ids(lab):
    lab.ask_all([opened(name) for name in ("b2", "a", "b1", "c", "b3")])
    page = lab.ask(ListSessions("", "b", "", 2))
    assert [name for name, _ in page.sessions] == ["b1", "b2"]
    assert page.has_more
    rest = lab.ask(ListSessions("", "b", "b2", 2))
    assert [name for name, _ in rest.sessions] == ["b3"]
    assert not rest.has_more


class FailingStore(MemoryStore):
    """A store whose disk is full now and then."""

    is_full = False

    def commit(self, puts, deletes):
        if self.is_full:
            raise StoreError("no space left on device")
        super().commit(puts, deletes)


def test_what_could_not_be_kept_did_not_happen(models):
    lab = Lab(models, store=FailingStore())
    lab.ask(opened())
    lab.store.is_full = True
    step, peek = lab.ask_all([steps("a", 5), opened("b")]), lab.ask(Peek(key(), ANY))
    assert [type(answer) for answer in step] == [StoreUnavailable, StoreUnavailable]
    assert peek.session.step == 0
    lab.store.is_full = False
    assert median(lab.ask(steps("a", 5))) == expected([5])


def test_a_reply_does_not_keep_its_batch_in_memory(lab):
    lab.ask_all([opened(f"s{i}") for i in range(50)])
    for reply in lab.ask_all([steps(f"s{i}", 1) for i in range(50)]):
        values = reply.forecast.values
        assert owner(values).nbytes == values.nbytes


def owner(array):
    while array.base is not None:
        array = array.base
    return array
