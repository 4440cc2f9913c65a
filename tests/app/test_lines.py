"""Tasks of different senders take turns: a flood delays itself, in rows and not in requests, and nothing is done out of order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.forecast import Wish
from app.engine.lines import COMPANY_SECONDS, Lines, fair_share
from app.engine.operations.opening import Open
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.parts import Part, completed
from app.engine.task import Task
from app.errors import SessionNotFound, StoreUnavailable
from app.stores.base import StoreError
from app.stores.memory import MemoryStore
from tests.bundles import FATAL, expected
from tests.conftest import NOON, Lab, column, key

MOST, IN_COMPANY = 64, 16


def single(line, number=0) -> Task:
    return Task(TakeSteps(key(f"{line}-{number}"), column(1)), line=line)


def wide(line, rows) -> Task:
    return Task(TakeColumns([key(f"{line}-{i}") for i in range(rows)], column(*range(rows))), line=line)


def lines_of(*tasks) -> Lines:
    lines = Lines()
    for task in tasks:
        lines.add(task)
    return lines


def rows_of(tasks) -> dict[str, int]:
    found = {}
    for task in tasks:
        found[task.line] = found.get(task.line, 0) + task.rows
    return found


def test_a_newcomer_is_in_the_next_tick_whatever_waits_before_it():
    flood = [single("flood", i) for i in range(1000)]
    lines = lines_of(*flood, wide("columns", 1000), single("newcomer"))
    taken = lines.take(MOST, IN_COMPANY, now=0.0)
    assert rows_of(taken) == {"newcomer": 1, "flood": 7, "columns": 7}
    assert taken[0].line == "newcomer"  # and is answered first


def test_every_line_gets_the_same_number_of_rows_whether_they_come_in_one_request_or_in_many():
    lines = lines_of(*(single("many", i) for i in range(500)), wide("one", 500))
    for now in range(20):
        assert rows_of(lines.take(MOST, IN_COMPANY, now)) == {"many": 8, "one": 8}


def test_whoever_is_alone_has_whole_ticks_until_somebody_comes_and_again_after_a_while():
    flood = [single("flood", i) for i in range(1000)]
    lines = lines_of(*flood)
    assert len(lines.take(MOST, IN_COMPANY, now=1.0)) == MOST
    lines.add(single("newcomer"))
    assert len(lines.take(MOST, IN_COMPANY, now=2.0)) == IN_COMPANY
    assert len(lines.take(MOST, IN_COMPANY, now=2.1 + COMPANY_SECONDS / 2)) == IN_COMPANY
    assert len(lines.take(MOST, IN_COMPANY, now=2.1 + 2 * COMPANY_SECONDS)) == MOST


def test_what_the_service_does_by_itself_is_nobodys_company():
    lines = lines_of(single("flood"), single(None), *(single("flood", i) for i in range(1, 100)))
    assert rows_of(lines.take(MOST, IN_COMPANY, now=0.0)) == {None: 1, "flood": MOST - 1}


def test_a_crowd_of_single_steps_is_no_flood():
    lines = lines_of(*(single(f"line-{i}") for i in range(100)))
    first = lines.take(MOST, IN_COMPANY, now=0.0)
    second = lines.take(MOST, IN_COMPANY, now=0.0)
    assert [len(first), len(second), len(lines)] == [MOST, 100 - MOST, 0]
    assert {task.line for task in [*first, *second]} == {f"line-{i}" for i in range(100)}


def test_no_line_waits_longer_than_a_round():
    names = [f"line-{i}" for i in range(200)]
    lines = lines_of(*(single(name, i) for name in names for i in range(3)))
    for _ in range(3):
        round_of_turns = [task.line for _ in range(4) for task in lines.take(50, IN_COMPANY, now=0.0)]
        assert sorted(round_of_turns) == sorted(names)


def test_who_waits_behind_his_own_waits_longer_than_others():
    lines = lines_of(*(single("flood", i) for i in range(1000)), single("other"))
    lines.take(MOST, IN_COMPANY, now=0.0)
    ticks = (1000 - (IN_COMPANY - 1)) / (IN_COMPANY - 1)
    assert lines.ticks_before("flood", 0, MOST) == pytest.approx(ticks)
    assert lines.ticks_before("flood", 15, MOST) == pytest.approx(ticks + 1)
    assert lines.ticks_before("newcomer", 0, MOST) == 0
    crowd = lines_of(*(single(f"line-{i}") for i in range(10 * MOST)))
    assert crowd.ticks_before("newcomer", 0, MOST) == pytest.approx(9)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=50), st.integers(1, 300))
def test_a_fair_share_is_the_largest_that_all_have_room_for(rows, most):
    share = fair_share(rows, most)
    used = [sum(min(one, size) for one in rows) for size in (share, share + 1)]
    assert share == 1 or used[0] <= most
    assert used[1] > most or used[0] == sum(rows)


class Halting(MemoryStore):
    """A store that refuses the commits with these numbers."""

    def __init__(self, *refused) -> None:
        super().__init__()
        self.commits, self.refused = 0, refused

    def commit(self, puts, deletes):
        self.commits += 1
        if self.commits in self.refused:
            raise StoreError("the disk is full")
        super().commit(puts, deletes)


def opened(lab, names):
    lab.ask_all([Open(key(name), model="sum", version="1", start=NOON) for name in names])


def in_parts(lab, operation, rows):
    """A task that was done in parts of so many rows, and how many parts there were."""
    task = Task(operation, line="a")
    lines, ticks = lines_of(task), 0
    while len(lines):
        parts = lines.take(rows, rows, now=0.0)
        assert all(isinstance(part, Part) and part.rows <= rows for part in parts)
        assert completed(lab.engine.tick(parts)) == ([] if len(lines) else [task])
        ticks += 1
    return task, ticks


def test_columns_done_in_parts_are_answered_as_if_they_had_been_done_at_once(models):
    names = [f"s{i}" for i in range(10)]
    values = column(*range(10))
    replies = []
    for rows in (10, 4):
        lab = Lab(models)
        opened(lab, names)
        operation = TakeColumns([key(name) for name in names], values, steps=[1] * 10, wish=Wish())
        if rows == 10:
            replies.append(lab.ask(operation))
        else:
            task, ticks = in_parts(lab, operation, rows)
            assert ticks == 3
            replies.append(task.reply)
    whole, joined = (reply.whole for reply in replies)
    assert (joined.step, joined.time) == (whole.step, whole.time)
    np.testing.assert_array_equal(joined.quantiles, whole.quantiles)
    np.testing.assert_array_equal(joined.surprise, whole.surprise)
    assert joined.quantiles[:, 0, 0, 1].tolist() == [expected([i])[0] for i in range(10)]


def test_a_part_that_fails_is_refused_row_by_row_and_the_others_are_taken(models):
    lab = Lab(models, store=Halting(3))
    opened(lab, names := [f"s{i}" for i in range(6)])
    task, _ = in_parts(lab, TakeColumns([key(name) for name in [*names, "nobody"]], column(*range(7))), 2)
    taken = [isinstance(answer, StoreUnavailable) or answer.step for answer in list(task.reply)[:6]]
    assert taken == [1, 1, True, True, 1, 1]
    assert isinstance(task.reply[6], SessionNotFound)


def test_columns_of_which_no_part_was_taken_are_refused(models):
    lab = Lab(models, store=Halting(2, 3, 4))
    opened(lab, names := [f"s{i}" for i in range(6)])
    task, _ = in_parts(lab, TakeColumns([key(name) for name in names], column(*range(6))), 2)
    assert isinstance(task.error, StoreUnavailable)


def test_the_first_session_of_all_decides_about_the_levels_of_every_part(models):
    lab = Lab(models)
    lab.ask(Open(key("s0"), model="sum", version="2", start=NOON))
    opened(lab, names := [f"s{i}" for i in range(1, 6)])
    task, _ = in_parts(lab, TakeColumns([key(name) for name in ["s0", *names]], column(*range(6)), wish=Wish()), 2)
    assert {answer.forecast.levels for answer in task.reply} == {(0.25, 0.5, 0.75)}


def test_a_part_that_cannot_be_computed_leaves_the_others_as_they_are(models):
    lab = Lab(models)
    opened(lab, names := [f"s{i}" for i in range(4)])
    task, _ = in_parts(lab, TakeColumns([key(name) for name in names], column(0, 1, FATAL, 3)), 2)
    assert [getattr(answer, "code", None) for answer in task.reply] == [None, None, "internal", "internal"]
