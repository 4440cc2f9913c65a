"""Answers of many numbers are written in slices, between which everybody else has a turn; the client gets one whole message."""

from __future__ import annotations

import signal
from typing import Self

import pytest

from app.settings import Settings
from app.socket import BURST_BYTES
from tests.bundles import expected
from tests.service.lab import CODECS, blocked, serving, serving_here, talk, until
from tests.service.test_fairness import NOON

LEVELS = [i / 100 for i in range(10, 91)]
SESSIONS = 400
WIDE = {
    "op": "steps",
    "sessions": [f"wide-{i}" for i in range(SESSIONS)],
    "values": list(range(SESSIONS)),
    "forecast": {"quantiles": LEVELS},
}
FRAMES = 4
HUGE = 2**70  # more than MessagePack can say


@pytest.fixture(scope="module")
def inside(models_dir):
    """A server in this process, with the sessions of WIDE."""
    with serving_here(Settings(models=models_dir, store="memory")) as server:
        open_wide(server)
        yield server


def open_wide(server) -> None:
    opening = {"op": "open", "model": "sum", "version": "1", "start": NOON}
    with talk(server) as socket:
        socket.ask_all([{**opening, "id": name} for name in WIDE["sessions"]])


class Writing:
    """What is written on a wire until the block ends: of each write the size, and in which turn of the event loop it was."""

    def __init__(self, loop, wire) -> None:
        self._loop = loop
        self._turn = 0
        self._is_over = False
        self._write, wire.write = wire.write, self._watched
        self.seen = []

    def __enter__(self) -> Self:
        self._loop.call_soon_threadsafe(self._count)
        return self

    def __exit__(self, *_) -> None:
        self._is_over = True

    def _count(self) -> None:
        self._turn += 1
        if not self._is_over:
            self._loop.call_soon(self._count)

    def _watched(self, slices, *, is_binary) -> None:
        slices = list(slices)
        self.seen.append((self._turn, sum(len(data) for data, _ in slices)))
        self._write(slices, is_binary=is_binary)


@pytest.mark.parametrize("subprotocol", CODECS)
def test_others_have_turns_while_a_large_answer_is_written(inside, subprotocol):
    before = set(inside.service.sockets)
    with talk(inside, subprotocol) as socket:
        until(lambda: len(inside.service.sockets - before) == 1)
        (own,) = inside.service.sockets - before
        with Writing(inside.service.loop, own._wire) as writing:
            assert len(socket.ask(**WIDE)["quantiles"]) == SESSIONS
    turns = [turn for turn, _ in writing.seen]
    assert len(turns) > 5
    assert turns == sorted(set(turns))
    assert max(size for _, size in writing.seen) < 2 * BURST_BYTES


@pytest.mark.parametrize("subprotocol", CODECS)
def test_a_large_answer_holds_every_number_and_what_follows_comes_after_it(inside, name, subprotocol):
    names = [f"{name}-{i}" for i in range(SESSIONS)]
    with talk(inside, subprotocol) as socket:
        opening = {"op": "open", "model": "sum", "version": "1", "start": NOON}
        socket.ask_all([{**opening, "id": one} for one in names])
        socket.ask(op="subscribe", session=names[7])
        socket.send(**WIDE | {"sessions": names}, ref="all")
        socket.send(op="nonsense", ref="wrong")
        socket.send(op="step", ref="one", session=names[7], values=[1])
        replies = {}
        for _ in range(4):
            reply = socket.receive()
            replies[reply["op"] if reply["op"] == "update" else reply["ref"]] = reply
    assert replies.keys() == {"all", "wrong", "one", "update"}
    for value, forecast in enumerate(replies["all"]["quantiles"]):
        for level, line in zip(LEVELS, forecast, strict=True):
            assert line == pytest.approx(expected([value], level=level), abs=1e-3)
    assert replies["one"]["step"] == 2


@pytest.mark.parametrize("subprotocol", CODECS)
def test_a_large_answer_has_gaps_where_sessions_are_refused_and_tells_what_was_repeated(inside, name, subprotocol):
    names = [f"{name}-{i}" for i in range(SESSIONS)]
    opening = {"op": "open", "model": "sum", "version": "1", "start": NOON}
    with talk(inside, subprotocol) as socket:
        socket.ask_all([{**opening, "id": one} for one in names if one not in (names[3], names[300])])
        assert socket.ask(op="step", session=names[5], values=[5], step=1)["step"] == 1
        assert socket.ask(op="step", session=names[310], values=[0], step=1)["step"] == 1
        reply = socket.ask(**WIDE | {"sessions": names, "steps": [1] * SESSIONS})
    refused = {3: "session-not-found", 300: "session-not-found", 310: "step-conflict"}
    assert {error["index"]: error["code"] for error in reply["errors"]} == refused
    for i in range(SESSIONS):
        if i in refused:
            assert [reply[fact][i] for fact in ("step", "time", "replayed", "surprise", "quantiles")] == [None] * 5
            continue
        assert (reply["step"][i], reply["time"][i], reply["replayed"][i]) == (1, NOON, i == 5)
        assert reply["quantiles"][i][0] == pytest.approx(expected([i], level=LEVELS[0]), abs=1e-3)
        assert len(reply["quantiles"][i]) == len(LEVELS)


def test_who_reads_late_gets_all_that_is_due_before_the_end(models_dir, tmp_path):
    with serving(models_dir, tmp_path, store="memory", grace_seconds=60, ws_send_seconds=60) as server:
        open_wide(server)
        with blocked(server) as slow:
            for ref in range(FRAMES):
                slow.send(**WIDE, ref=ref)
            until(lambda: b"tidegate_steps_total 1600.0" in server.get("/metrics").content)
            slow.send(op="nonsense", ref="wrong")  # refused at once, while answers are written
            slow.send(op="open", ref="last", id="last", model="sum", version="1")
            until(lambda: b"tidegate_sessions 401.0" in server.get("/metrics").content)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: "shutting down" in server.log.read_text())
            replies = list(slow)
        refs = [reply.get("ref") for reply in replies]
        assert refs.count("wrong") == 1
        assert [ref for ref in refs if ref != "wrong"] == [*range(FRAMES), "last", None]
        assert replies[-1] == {"op": "draining"}
        assert slow.socket.close_code == 1012
        assert server.process.wait(30) == 0


def test_an_answer_that_cannot_be_written_is_an_error_and_the_socket_goes_on(inside, name):
    opening = {"op": "open", "id": name, "model": "sum", "version": "1", "metadata": {"serial": HUGE}}
    with talk(inside) as socket:
        assert socket.ask(**opening)["metadata"] == {"serial": HUGE}
    with talk(inside, "tidegate.v1.msgpack") as socket:
        again = socket.ask(op="open", ref=1, id=name, model="sum", version="1", if_exists="return")
        assert (again["op"], again["ref"], again["code"]) == ("error", 1, "internal")
        assert socket.ask(op="step", session=name, values=[1])["step"] == 1
