"""How long a newcomer would wait follows from what the last ticks took and from how long the present one lasts already."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.backlog import Backlog, TickLimits
from app.engine.group import Group
from app.engine.operations.base import Outcome, Work
from app.engine.operations.opening import Open
from app.engine.operations.stepping import TakeSteps
from app.engine.pace import Pace
from app.engine.task import Job, Task
from app.errors import Overloaded
from tests.bundles import expected
from tests.conftest import NOON, Lab, column, key


def paced(*seconds, rows=1, limit=2.0) -> Pace:
    pace = Pace(rows=100, longest_wait_seconds=limit)
    for took in seconds:
        pace.begin(0.0)
        pace.end(took, rows)
    return pace


def test_nobody_waits_while_nothing_runs():
    assert Pace(100, 2.0).wait_seconds(0, now=5.0) == 0
    assert paced(*[0.1] * 300).wait_seconds(0, now=5.0) == 0


def test_the_wait_is_that_of_the_ticks_ahead():
    pace = paced(*[0.1] * 300)
    assert pace.wait_seconds(3.5, now=5.0) == pytest.approx(0.35)
    pace.begin(5.0)
    assert pace.wait_seconds(3.5, now=5.01) == pytest.approx(0.45)
    assert pace.wait_seconds(3.5, now=7.0) == pytest.approx(2.35)  # it lasts as long as it has lasted


def test_a_tick_of_many_rows_counts_as_several():
    assert paced(*[0.4] * 300, rows=400).wait_seconds(1, now=0) == pytest.approx(0.1)
    assert paced(*[0.4] * 300, rows=3).wait_seconds(1, now=0) == pytest.approx(0.4)


def test_one_slow_tick_is_no_overload_and_many_are():
    paced(1.0).admit(10, now=0)
    with pytest.raises(Overloaded) as refused:
        paced(*[1.0] * 30).admit(10, now=0)
    assert refused.value.extra["retry_after"] == 9


def test_the_time_to_try_again_is_at_most_a_minute_and_at_least_a_second():
    with pytest.raises(Overloaded) as refused:
        paced(*[1.0] * 100).admit(1000, now=0)
    assert refused.value.extra["retry_after"] == 60
    with pytest.raises(Overloaded) as refused:
        paced(*[0.01] * 100, limit=0.05).admit(10, now=0)
    assert refused.value.extra["retry_after"] == 1


def job_of(model, rows, steps) -> tuple[Job, Group]:
    shape = (rows, steps, 1)
    group = Group(
        model,
        np.zeros(shape),
        np.zeros(shape[:2], np.int64),
        np.zeros((*shape[:2], 0)),
        model.fresh(rows),
        np.zeros(rows),
    )
    return Job([Task(TakeSteps(key(), column(1)))], Work([group], lambda: Outcome(None))), group


def test_a_short_sequence_waits_for_the_turns_of_the_others_and_not_for_their_ends(models):
    (served, *_) = models
    backlog = Backlog(TickLimits(chunk_steps=10, long_steps=100))
    short, long = job_of(served.model, 1, 50), job_of(served.model, 1, 5000)
    assert backlog.ticks_before(long[0]) == 0
    for _ in range(4):
        backlog.add(*job_of(served.model, 1, 1000))
    assert backlog.ticks_before(short[0]) == 4 * 50 / 100
    assert backlog.ticks_before(long[0]) == 4 * 1000 / 100
    assert backlog.ticks_before(job_of(served.model, 1, 1)[0]) == 0  # live
    for job, group, steps in list(backlog.turns()):
        group.done += steps
        backlog.add(job, group)
    assert backlog.ticks_before(long[0]) == (4000 - 40) / 100


def test_long_sequences_are_refused_where_they_would_be_under_way_for_too_long_and_live_steps_go_on(models):
    lab = Lab(models, limits=TickLimits(chunk_steps=1, long_steps=1, wait_seconds=1e-9))
    lab.ask(Open(key("live"), model="sum", version="1", start=NOON))
    under_way = Task(Open(key("a"), model="sum", version="1", start=NOON, history=column(*range(50))))
    lab.engine.tick([under_way])
    late = Task(Open(key("b"), model="sum", version="1", start=NOON, history=column(1, 2)))
    live = Task(TakeSteps(key("live"), column(1)))
    lab.engine.tick([late, live])
    assert isinstance(late.error, Overloaded)
    assert (live.error, live.reply.step) == (None, 1)
    while not under_way.is_answered:
        lab.engine.tick([])
    assert under_way.reply.forecast.values[:, 0, 1].tolist() == expected(range(50))
    assert lab.ask(Open(key("b"), model="sum", version="1", start=NOON, history=column(1, 2))).session.step == 2
