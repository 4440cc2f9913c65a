"""Many callers and one compute thread: whatever goes wrong, everybody is answered, and only those concerned are refused."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from contextlib import contextmanager

import pytest

from app.engine.backlog import TickLimits
from app.engine.batcher import Batcher
from app.engine.forecast import Wish
from app.engine.lanes import Lanes
from app.engine.operations.copying import Fork
from app.engine.operations.looking import Peek
from app.engine.operations.opening import Open
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.task import Task
from app.errors import Draining, Internal, Overloaded, SessionExists, SessionNotFound
from app.stores.memory import MemoryStore
from tests.bundles import FATAL, expected
from tests.conftest import NOON, Lab, column, key


class Crowd:
    """Callers of a batcher; every answer arrives at the future that its caller holds."""

    def __init__(self, lab, *, queue_limit=10_000, tick_rows=256) -> None:
        self.died = threading.Event()
        self.deliveries = []
        self.batcher = Batcher(lab.engine, self.deliver, self.died.set, tick_rows=tick_rows, queue_limit=queue_limit)

    def submit(self, operation) -> Future:
        future = Future()
        self.batcher.submit(Task(operation, reply_to=future))
        return future

    def deliver(self, tasks) -> None:
        self.deliveries.append(len(tasks))
        for task in tasks:
            if not task.reply_to.set_running_or_notify_cancel():
                continue
            if task.error:
                task.reply_to.set_exception(task.error)
            else:
                task.reply_to.set_result(task.reply)


@contextmanager
def crowd_of(lab, **more):
    crowd = Crowd(lab, **more)
    with crowd.batcher:
        yield crowd


class GatedStore(MemoryStore):
    """A store that keeps nothing before its gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.reached = threading.Event(), threading.Event()
        self.gate.set()

    def commit(self, puts, deletes):
        self.reached.set()
        self.gate.wait(10)
        super().commit(puts, deletes)


def opened(name, **more):
    return Open(key(name), model="sum", version="1", start=NOON, **more)


def steps(name, *values):
    return TakeSteps(key(name), column(*values), wish=Wish(levels=(0.5,)))


def median(reply):
    return reply.forecast.values[:, 0, 0].tolist()


def test_every_caller_gets_the_answer_to_its_own_request(lab):
    with crowd_of(lab) as crowd:
        wait([crowd.submit(opened(f"s{i}")) for i in range(100)])
        replies = [crowd.submit(steps(f"s{i}", i)) for i in range(100)]
        assert [median(reply.result(5)) for reply in replies] == [expected([i]) for i in range(100)]


def test_requests_of_one_session_are_answered_in_their_order(lab):
    with crowd_of(lab, tick_rows=2) as crowd:
        crowd.submit(opened("a"))
        replies = [crowd.submit(steps("a", i)) for i in range(50)]
        for count, reply in enumerate(replies, 1):
            assert median(reply.result(5)) == expected(range(count))


def test_columns_wait_for_each_of_their_sessions(lab):
    with crowd_of(lab) as crowd:
        for name in "ab":
            crowd.submit(opened(name, history=column(*range(300))))
        columns = crowd.submit(TakeColumns([key("b"), key("a")], column(1, 2)))
        after = crowd.submit(Peek(key("a"), Wish()))
        assert [reply.step for reply in columns.result(5)] == [301, 301]
        assert after.result(5).session.step == 301


def test_sessions_that_nobody_waits_for_have_no_lane():
    lanes = Lanes()
    first, both = Task(steps("a", 1)), Task(TakeColumns([key("a"), key("b")], column(1, 2)))
    assert lanes.enter(first)
    assert not lanes.enter(both)
    assert lanes.leave(first) == [both]
    assert lanes.leave(both) == []
    assert len(lanes) == 0


def test_many_callers_that_wait_are_answered_by_few_ticks(models):
    lab = Lab(models, store=GatedStore())
    with crowd_of(lab) as crowd:
        wait([crowd.submit(opened(f"s{i}")) for i in range(64)])
        lab.store.reached.clear()
        lab.store.gate.clear()
        replies = [crowd.submit(steps("s0", 1))]
        assert lab.store.reached.wait(5)
        replies += [crowd.submit(steps(f"s{i}", 1)) for i in range(1, 64)]
        crowd.deliveries.clear()
        lab.store.gate.set()
        wait(replies, 5)
        assert crowd.deliveries == [1, 63]


def test_a_cancelled_caller_does_not_strand_its_batch_mates(models):
    lab = Lab(models, store=GatedStore())
    with crowd_of(lab) as crowd:
        wait([crowd.submit(opened(f"s{i}")) for i in range(8)])
        lab.store.reached.clear()
        lab.store.gate.clear()
        first = crowd.submit(steps("s0", 1))
        assert lab.store.reached.wait(5)
        replies = [crowd.submit(steps(f"s{i}", 1)) for i in range(1, 8)]
        assert replies[3].cancel()
        lab.store.gate.set()
        assert median(first.result(5)) == expected([1])
        assert all(median(reply.result(5)) == expected([1]) for reply in replies if not reply.cancelled())
        assert crowd.submit(Peek(key("s4"), Wish())).result(5).session.step == 1


def test_one_error_does_not_kill_the_loop(lab):
    with crowd_of(lab) as crowd:
        crowd.submit(opened("a"))
        for _ in range(3):
            assert isinstance(crowd.submit(steps("a", FATAL)).exception(5), Internal)
        assert median(crowd.submit(steps("a", 1)).result(5)) == expected([1])
        assert not crowd.died.is_set()


def test_a_session_that_is_forked_onto_itself_does_not_kill_the_loop(lab):
    with crowd_of(lab) as crowd:
        assert isinstance(crowd.submit(Fork(key("a"), key("a"))).exception(5), SessionNotFound)
        crowd.submit(opened("a"))
        assert isinstance(crowd.submit(Fork(key("a"), key("a"))).exception(5), SessionExists)
        assert median(crowd.submit(steps("a", 1)).result(5)) == expected([1])
        assert not crowd.died.is_set()


def test_everybody_waiting_at_shutdown_is_answered(models):
    lab = Lab(models, store=GatedStore(), limits=TickLimits(chunk_steps=1, long_steps=1))
    with crowd_of(lab) as crowd:
        wait([crowd.submit(opened("a"))])
        replies = [crowd.submit(opened("long", history=column(*range(500))))]
        lab.store.reached.clear()
        lab.store.gate.clear()
        replies += [crowd.submit(steps("a", 1)) for _ in range(20)]
        assert lab.store.reached.wait(5)
        threading.Thread(target=open_when_closing, args=(crowd.batcher, lab.store.gate)).start()
    assert all(reply.done() for reply in replies)
    assert replies[1].exception() is None
    assert all(isinstance(reply.exception(), Draining) for reply in (replies[0], *replies[2:]))
    with pytest.raises(Draining):
        crowd.submit(steps("a", 1))


def open_when_closing(batcher, gate):
    while batcher._closed_because is None:
        time.sleep(0.001)
    gate.set()


def test_beyond_the_queue_limit_callers_are_told_that_the_service_is_busy(models):
    lab = Lab(models, store=GatedStore())
    with crowd_of(lab, queue_limit=5) as crowd:
        wait([crowd.submit(opened("a"))])
        lab.store.gate.clear()
        replies = [crowd.submit(steps("a", 1)) for _ in range(5)]
        with pytest.raises(Overloaded, match="5 requests wait already"):
            crowd.submit(steps("a", 1))
        lab.store.gate.set()
        assert [reply.result(5).step for reply in replies] == [1, 2, 3, 4, 5]
        assert crowd.submit(steps("a", 1)).result(5).step == 6


def test_who_would_wait_too_long_is_told_when_to_try_again(models):
    lab = Lab(models, store=GatedStore(), limits=TickLimits(wait_seconds=0.2))
    with crowd_of(lab) as crowd:
        wait([crowd.submit(opened(name)) for name in "ab"])
        lab.store.reached.clear()
        lab.store.gate.clear()
        first = crowd.submit(steps("a", 1))
        assert lab.store.reached.wait(5)
        second = crowd.submit(steps("b", 1))  # the disk has only begun to hang
        time.sleep(0.3)
        with pytest.raises(Overloaded, match=r"would wait for 0\.\d s, and at most 0\.2 s") as refused:
            crowd.submit(steps("b", 2))
        assert refused.value.extra["retry_after"] == 1
        lab.store.gate.set()
        assert [first.result(5).step, second.result(5).step] == [1, 1]
        assert crowd.submit(steps("b", 2)).result(5).step == 2


def test_requests_behind_others_of_their_own_session_keep_nobody_else_out(models):
    lab = Lab(models, limits=TickLimits(wait_seconds=4.5))
    slow_ticks(lab.engine.pace)
    crowd = Crowd(lab, tick_rows=1)  # its thread never starts
    for _ in range(5):
        crowd.submit(steps("a", 1))
    with pytest.raises(Overloaded):
        crowd.submit(steps("b", 1))  # nobody has looked yet whose turns the five are
    assert len(crowd.batcher._take()) == 1
    for _ in range(4):
        crowd.submit(steps("b", 1))


def slow_ticks(pace):
    """As if ticks took a second each."""
    for i in range(200):
        pace.begin(float(i))
        pace.end(float(i + 1), rows=1)


class BrokenStore(GatedStore):
    """A store with a programming error in it."""

    def commit(self, puts, deletes):
        super().commit(puts, deletes)
        raise ZeroDivisionError


def test_when_the_loop_dies_everybody_is_answered_and_it_is_told(models):
    lab = Lab(models, store=BrokenStore())
    with crowd_of(lab) as crowd:
        lab.store.gate.clear()
        replies = [crowd.submit(opened(f"s{i}")) for i in range(10)]
        lab.store.gate.set()
        assert crowd.died.wait(5)
        wait(replies, 5)
        assert all(isinstance(reply.exception(), Internal) for reply in replies)
        with pytest.raises(Internal, match="died"):
            crowd.submit(opened("late"))
