"""How sessions are shared out among workers, kept in parts, and answered in order."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter

import numpy as np
import pytest

from app.engine.inputs import NOTHING
from app.engine.operations.base import done
from app.engine.session import Key
from app.engine.task import Task
from app.errors import InvalidRequest
from app.stores.base import Place, Record, StoreFailure, Table
from app.stores.directory import DataDirectory
from app.stores.lmdb import LmdbStore
from app.workers import channel, layout
from app.workers.order import Order
from app.workers.owners import owner, owner_of_stored
from app.workers.repartition import MOVING, repartition

MOST_BYTES = 2**30
OWNERS = [0, 0, 2, 0, 0, 2, 2, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("workers", [2, 3, 7, 64])
def test_sessions_are_shared_out_evenly(workers):
    shares = Counter(owner(Key("", f"sensor-{i}"), workers) for i in range(200 * workers))
    assert set(shares) == set(range(workers))
    assert max(shares.values()) < 1.3 * 200


def test_another_worker_takes_its_share_and_nothing_else_moves():
    keys = [Key("tenant", str(i)) for i in range(4000)]
    before, after = ([owner(key, workers) for key in keys] for workers in (4, 5))
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {4}
    assert len(moved) == pytest.approx(len(keys) / 5, rel=0.15)


def test_owners_are_the_same_on_every_machine_and_in_every_run():
    assert [owner(Key("", f"s{i}"), 3) for i in range(12)] == OWNERS
    assert owner(Key("a", "b"), 64) == owner_of_stored(b"a\0b", 64)
    assert owner(Key("", "only"), 1) == 0


class Several:
    """An operation on some sessions."""

    def __init__(self, keys) -> None:
        self.keys = keys

    def begin(self, context):
        return done(None)


def test_answers_never_overtake_each_other_within_a_session():
    """The first request waits for all workers; what comes behind it is answered in any order, and leaves in that of the requests."""
    dice = random.Random(0)
    for _ in range(200):
        order, given = Order(), []
        tasks = [Task(Several("abcd"), given.append)]
        tasks += [Task(Several(dice.sample("abcd", dice.choice([1, 1, 2, 3]))), given.append) for _ in range(20)]
        for task in tasks:
            order.hold(task, is_shared=len(task.operation.keys) > 1)
        for task in dice.sample(tasks[1:], 20):
            task.reply_to(task)
        assert given == []
        tasks[0].reply_to(tasks[0])
        assert Counter(map(id, given)) == Counter(map(id, tasks))
        for key in "abcd":
            concerned = [task for task in tasks if key in task.operation.keys]
            assert [task for task in given if key in task.operation.keys] == concerned
        assert len(order) == 0


def test_a_long_line_of_answers_leaves_at_once():
    order, given = Order(), []
    tasks = [Task(Several("ab"), given.append), *(Task(Several("a"), given.append) for _ in range(5000))]
    for task in tasks:
        order.hold(task, is_shared=task is tasks[0])
    for task in reversed(tasks):
        task.reply_to(task)
    assert given == tasks


def test_without_shared_requests_nothing_is_kept():
    order, given = Order(), []
    task = Task(Several("a"), given.append)
    order.hold(task, is_shared=False)
    task.reply_to(task)
    assert (given, len(order)) == ([task], 0)


class Notebook:
    """Writes down what it gets."""

    def __init__(self) -> None:
        self.messages, self.is_lost = [], False

    def on_message(self, message):
        self.messages.append(message)

    def on_writable(self):
        pass

    def on_lost(self):
        self.is_lost = True


async def pair_of_channels():
    loop, books = asyncio.get_running_loop(), (Notebook(), Notebook())
    ends = [channel.Channel(book, loop) for book in books]
    for end, one in zip(ends, socket.socketpair(), strict=True):
        await loop.create_unix_connection(lambda end=end: end, sock=one)
    return *ends, *books


async def until(is_true):
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110 - what a notebook says is no event
            await asyncio.sleep(0.001)


def test_messages_arrive_whole_and_in_order():
    async def talk():
        left, right, _, book = await pair_of_channels()
        refusal = InvalidRequest("no", errors=[{"pointer": "/a", "detail": "b"}])
        kinds = np.array(["sale", None], np.object_)
        sent = [1, NOTHING, np.arange(500_000, dtype=np.float32), refusal, kinds, "last"]
        for message in sent[:3]:
            left.send(message)
        await until(lambda: book.messages)
        for message in sent[3:]:
            left.send(message)
        left.close()
        await until(lambda: book.is_lost)
        one, nothing, numbers, refused, names, last = book.messages
        assert (one, nothing, names.tolist(), last) == (1, {}, ["sale", None], "last")
        assert np.array_equal(numbers, sent[2])
        assert (type(refused), refused.detail, refused.extra) == (InvalidRequest, "no", refusal.extra)
        right.close()

    asyncio.run(talk())


def test_what_cannot_be_sent_ends_the_channel_and_leaves_nobody_waiting(caplog):
    async def talk():
        left, _, mine, theirs = await pair_of_channels()
        left.send(lambda: None)
        await until(lambda: mine.is_lost and theirs.is_lost)

    asyncio.run(talk())
    assert "cannot be sent" in caplog.text


KEYS = [f"\0s{i}".encode() for i in range(2500)]


def records(number):
    return {
        Place(Table.GONE if i % 5 == 0 else Table.LIVE, key): Record(b"%d" % i, b"" if i % 5 == 0 else b"state" * 300)
        for i, key in enumerate(KEYS[:number])
    }


def write(directory, workers, number):
    for worker in range(workers):
        its = {place: one for place, one in records(number).items() if owner_of_stored(place.key, workers) == worker}
        with DataDirectory(layout.part(directory, worker, workers)) as own, LmdbStore(own, "none", MOST_BYTES) as store:
            store.commit(its, ())


def read(directory, workers):
    found = {}
    for worker in range(workers):
        with DataDirectory(layout.part(directory, worker, workers)) as own, LmdbStore(own, "sync", MOST_BYTES) as store:
            for table in Table:
                for key, record in store.scan(table, b"", b"", 10_000):
                    assert owner_of_stored(key, workers) == worker
                    found[Place(table, key)] = record
    return found


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_sessions_move_to_another_number_of_workers(tmp_path, before, after):
    write(tmp_path, before, 2500)
    moved = repartition(tmp_path, after)
    assert (moved.live, moved.gone, moved.damaged) == (2000, 500, 0)
    assert read(tmp_path, after) == records(2500)
    assert layout.found(tmp_path) == [after]
    layout.check(tmp_path, after)
    (old,) = moved.old
    assert old.exists()
    assert repartition(tmp_path, after).live == 0


def test_a_move_that_was_interrupted_is_done_by_moving_again(tmp_path):
    write(tmp_path, 2, 10)
    write(tmp_path / MOVING, 3, 20)  # it was copying what has ended since
    repartition(tmp_path, 3)
    assert read(tmp_path, 3) == records(10)
    (tmp_path / "moved-1-workers-2").rename(tmp_path / "workers-2")  # the old parts were not set aside yet
    with pytest.raises(StoreFailure, match="--workers 2, not 3"):
        layout.check(tmp_path, 3)
    assert repartition(tmp_path, 3).live == 0
    assert read(tmp_path, 3) == records(10)


def test_a_directory_that_is_not_there_is_named_and_not_made(tmp_path):
    with pytest.raises(StoreFailure, match=r"there is no data directory .*/dta; correct --data-dir"):
        repartition(tmp_path / "dta", 2)
    assert not (tmp_path / "dta").exists()


def test_sessions_in_use_are_not_moved(tmp_path):
    write(tmp_path, 2, 10)
    with DataDirectory(layout.part(tmp_path, 1, 2)), pytest.raises(StoreFailure, match="in use by process"):
        repartition(tmp_path, 3)
    assert layout.found(tmp_path) == [2]
    assert read(tmp_path, 2) == records(10)
