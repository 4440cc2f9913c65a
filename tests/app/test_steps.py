"""Every line of the table of step identities."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.session import Build, Session
from app.engine.steps import NEXT, Place, judge
from app.errors import InvalidRequest, Moment, OffGrid, StepConflict, StepGap
from tests.conftest import NOON, column

HOUR = 3600
APPLIED = [1, 2, None, 4, 5, 6]
R = 4


def session(on_gap="reject", step=6) -> Session:
    return Session(
        build=Build("sum", "1", b""),
        incarnation=1, start=NOON, frequency=HOUR, step=step, on_gap=on_gap,
        created_at=0.0, active_at=0.0, metadata=b"{}",
    )  # fmt: skip


def decide(*values, step=None, time=None, on_gap="reject", gap_limit=3):
    return judge(session(on_gap), column(*APPLIED[-R:]), Place(step, time), column(*values), gap_limit)


def test_the_next_step_is_applied():
    verdict = decide(7, step=7)
    assert (verdict.known, verdict.missing, verdict.last, verdict.is_newest, verdict.replayed) == (0, 0, 7, True, False)


def test_a_step_without_a_number_is_the_next():
    assert decide(7) == decide(7, step=7)
    assert Place() == NEXT


def test_a_time_names_the_step_at_that_time():
    assert decide(7, time=NOON + 6 * HOUR) == decide(7, step=7)


def test_the_last_step_again_is_a_replay_that_a_forecast_can_follow():
    verdict = decide(6, step=6)
    assert verdict.replayed
    assert verdict.is_newest


def test_an_older_step_again_is_acknowledged_but_no_forecast_follows():
    verdict = decide(5, step=5)
    assert verdict.replayed
    assert not verdict.is_newest


def test_a_missing_observation_equals_a_missing_observation():
    assert decide(None, step=3).replayed
    with pytest.raises(StepConflict, match="step 3 was applied with other values"):
        decide(0, step=3)
    with pytest.raises(StepConflict, match="step 4 was applied with other values"):
        decide(None, step=4)


@pytest.mark.parametrize("step", [4, 5, 6])
def test_an_applied_step_with_other_values_is_a_conflict(step):
    with pytest.raises(StepConflict, match=f"step {step} was applied with other values"):
        decide(99, step=step)


def test_values_are_compared_as_the_state_holds_them():
    recent = column(0.1)
    verdict = judge(session(step=1), recent, Place(1), np.array([[0.1]], np.float32), 0)
    assert verdict.replayed


def test_a_step_older_than_what_is_remembered_is_a_conflict_that_says_so():
    with pytest.raises(StepConflict, match=r"older than the session remembers.*send steps from 3 on"):
        decide(2, step=2)


def test_a_conflict_names_the_first_step_that_differs():
    with pytest.raises(StepConflict, match="step 5 was"):
        decide(4, 99, 99, 7, step=4)


def test_a_repeated_request_of_many_steps_resumes_where_it_stopped():
    verdict = decide(5, 6, 7, 8, step=5)
    assert (verdict.known, verdict.last, verdict.replayed) == (2, 8, False)


def test_a_repeated_request_of_many_steps_that_was_applied_is_a_replay():
    verdict = decide(4, 5, 6, step=4)
    assert (verdict.known, verdict.replayed, verdict.is_newest) == (3, True, True)


def test_a_step_beyond_the_next_is_a_gap_that_names_the_expected_step_and_time():
    with pytest.raises(StepGap, match="send step 7") as refusal:
        decide(9, step=9)
    assert refusal.value.extra == {"expected_step": 7, "expected_time": Moment(NOON + 6 * HOUR)}


def test_a_gap_is_filled_where_the_session_says_so():
    verdict = decide(9, step=9, on_gap="missing")
    assert (verdict.known, verdict.missing, verdict.last) == (0, 2, 9)


def test_a_gap_beyond_the_limit_is_not_filled():
    assert decide(10, step=10, on_gap="missing").missing == 3
    with pytest.raises(StepGap, match="at most 3 steps are filled"):
        decide(11, step=11, on_gap="missing")


@pytest.mark.parametrize(("seconds", "hours", "text"), [(1, 6, "T18:00"), (1800, 7, "T19:00"), (-1, 6, "T18:00")])
def test_a_time_off_the_grid_is_refused_with_the_nearest(seconds, hours, text):
    with pytest.raises(OffGrid, match=f"the nearest grid time is 2026-01-01{text}:00Z") as refusal:
        decide(7, time=NOON + 6 * HOUR + seconds)
    assert refusal.value.extra == {"nearest": Moment(NOON + hours * HOUR)}


def test_a_time_before_the_start_is_refused():
    with pytest.raises(InvalidRequest, match="before the session's start"):
        decide(1, time=NOON - HOUR)


def test_a_step_and_a_time_that_differ_are_refused():
    assert decide(7, step=7, time=NOON + 6 * HOUR).last == 7
    with pytest.raises(InvalidRequest, match="that time is step 7"):
        decide(7, step=8, time=NOON + 6 * HOUR)
