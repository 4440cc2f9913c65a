"""Beside a flood the others have their turns. What is asserted is whose rows are in which tick, so the machine's pace does not matter."""

from __future__ import annotations

import json
import re
import socket as sockets
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from app.settings import Settings
from app.websocket import SLICE_BYTES
from tests.benchmarks.serving.adversary import WIDE
from tests.service.lab import PATIENCE_SECONDS, ROOT, serving_here, talk, until

NOON = 1_767_268_800
TICK_ROWS, WINDOW = 16, 64


class Ticks:
    """The ticks of an engine: of each, the first session and the number of rows of every task. They can be held."""

    def __init__(self, engine) -> None:
        self._tick, engine.tick = engine.tick, self._watched
        self._go = threading.Event()
        self.is_waiting = False
        self.seen = []
        self.release()

    def hold(self) -> None:
        self._go.clear()

    def release(self) -> None:
        self.seen.clear()
        self._go.set()

    def _watched(self, tasks):
        self.is_waiting = not self._go.is_set()
        self._go.wait(PATIENCE_SECONDS)
        self.is_waiting = False
        if tasks:
            self.seen.append([(task.operation.keys[0].id, task.rows) for task in tasks if task.line])
        return self._tick(tasks)


@pytest.fixture(scope="module")
def watched(models_dir):
    """A server in this process, with small ticks that can be held."""
    settings = Settings(models=models_dir, store="memory", tick_rows=TICK_ROWS, ws_window=WINDOW)
    with serving_here(settings) as server:
        server.ticks = Ticks(server.service.batcher._engine)
        yield server


def open_sessions(server, prefix, count=1) -> list[str]:
    names = [f"{prefix}-{i}" for i in range(count)] if count > 1 else [prefix]
    opening = {"op": "open", "model": "sum", "version": "1", "start": NOON, "if_exists": "return"}
    with talk(server) as socket:
        socket.ask_all([{**opening, "id": one} for one in names])
    return names


@contextmanager
def held(watched):
    """Nothing is computed until the block ends: a tick with one step waits."""
    open_sessions(watched, "plug")
    with talk(watched) as plug:
        watched.ticks.hold()
        try:
            plug.send(op="step", session="plug", values=[1])
            until(lambda: watched.ticks.is_waiting)
            yield
        finally:
            watched.ticks.release()
        assert plug.receive()["op"] == "stepped"


def arrives(watched, count, send) -> None:
    """Send, and wait until so many more requests wait than before."""
    expected = waiting(watched) + count
    send()
    until(lambda: waiting(watched) == expected)


def waiting(watched) -> int:
    """How many requests of clients are not answered."""
    return sum(task.line is not None for task in list(watched.service.batcher._unanswered))


def turns_beside(watched, count, flood) -> list[list[tuple[str, int]]]:
    """The ticks after a step of a newcomer arrived, when `count` requests of a flood were there already."""
    open_sessions(watched, "newcomer")
    with talk(watched) as newcomer:
        with held(watched):
            arrives(watched, count, flood)
            arrives(watched, 1, lambda: newcomer.send(op="step", session="newcomer", values=[1]))
        assert newcomer.receive()["op"] == "stepped"
    return list(watched.ticks.seen)


def rows_until(ticks, session) -> list[int]:
    """The rows of each tick after the held one, to that of the session."""
    (last,) = [number for number, tick in enumerate(ticks) if session in dict(tick)]
    return [sum(rows for _, rows in tick) for tick in ticks[1 : last + 1]]


def test_beside_a_flood_of_steps_a_newcomer_is_in_the_next_tick(watched, name):
    names = open_sessions(watched, name, 2 * WINDOW)
    with talk(watched) as flood:
        ticks = turns_beside(watched, WINDOW, lambda: [flood.send(op="step", session=one, values=[1]) for one in names])
        assert rows_until(ticks, "newcomer") == [TICK_ROWS]
        assert [flood.receive()["step"] for _ in names] == [1] * len(names)


def test_beside_a_flood_of_columns_a_newcomer_is_in_the_next_tick_and_the_flood_in_those_that_follow(watched, name):
    names = open_sessions(watched, name, 100)
    with talk(watched) as flood:
        frame = {"op": "steps", "sessions": names, "values": list(range(100))}
        ticks = turns_beside(watched, 5, lambda: [flood.send(**frame, ref=ref) for ref in range(50)])
        assert rows_until(ticks, "newcomer") == [TICK_ROWS]
        for ref in range(50):
            reply = flood.receive()
            assert (reply["ref"], reply["step"]) == (ref, [ref + 1] * 100)
    assert all(sum(rows for _, rows in tick) <= TICK_ROWS for tick in ticks)


def test_beside_a_flood_over_rest_a_newcomer_is_in_the_next_tick(watched, name):
    names = open_sessions(watched, name, 100)
    body = b'{"values": [1]}'
    with ExitStack() as stack:

        def flood() -> None:
            for one in names:
                raw = stack.enter_context(sockets.create_connection(("127.0.0.1", watched.port)))
                raw.sendall(f"POST /v1/sessions/{one}/steps HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n".encode())
                raw.sendall(body)

        ticks = turns_beside(watched, 100, flood)
        assert rows_until(ticks, "newcomer") == [TICK_ROWS]


def test_addresses_share_what_is_done_over_rest(watched, name):
    names = open_sessions(watched, name, 100)
    body = b'{"values": [1]}'
    with ExitStack() as stack, held(watched):

        def send(source, chosen) -> None:
            for one in chosen:
                raw = sockets.create_connection(("127.0.0.1", watched.port), source_address=(source, 0))
                stack.enter_context(raw)
                raw.sendall(f"POST /v1/sessions/{one}/steps HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n".encode())
                raw.sendall(body)

        arrives(watched, 99, lambda: send("127.0.0.1", names[1:]))
        arrives(watched, 1, lambda: send("127.0.0.2", names[:1]))
    until(lambda: not waiting(watched))
    assert rows_until(watched.ticks.seen, names[0]) == [TICK_ROWS]


def test_no_more_is_parsed_of_a_flood_than_there_is_room_for(watched, name):
    (session,) = open_sessions(watched, name)
    before = set(watched.service.sockets)
    with talk(watched) as flood:
        until(lambda: len(watched.service.sockets - before) == 1)
        (socket,) = watched.service.sockets - before
        frame = json.dumps({"op": "step", "session": session, "values": [1], "forecast": False})
        sender = threading.Thread(target=lambda: [flood.socket.send(frame) for _ in range(5000)])
        with held(watched):
            arrives(watched, WINDOW, sender.start)
            time.sleep(0.05)
            assert waiting(watched) == WINDOW + 1  # with the one of the tick that is held
            assert len(socket._inbox) <= SLICE_BYTES // len(frame) + 1
        assert [flood.receive()["step"] for _ in range(5000)] == list(range(1, 5001))
        sender.join(PATIENCE_SECONDS)


def test_beside_a_flood_of_columns_that_never_ends_others_go_on(server, name):
    """For each step of a client who waits for its answer the flood has some rows, and not the fifteen thousand that its frames hold."""
    open_sessions(server, "wide", WIDE)
    command = [sys.executable, "-m", "tests.benchmarks.serving.adversary", str(server.port), "columns", "wide"]
    with subprocess.Popen(command, cwd=ROOT) as flood, talk(server) as socket:
        try:
            socket.ask(op="open", id=name, model="sum", version="1", start=NOON)
            until(lambda: steps(server) > 5 * WIDE)
            before = steps(server)
            for step in range(1, 51):
                assert socket.ask(op="step", session=name, values=[1])["step"] == step
            assert 50 < steps(server) - before < 50 * 2 * WIDE
        finally:
            flood.kill()


def steps(server) -> float:
    """How many observations the server has computed."""
    return float(re.search(rb"^tidegate_steps_total (.+)$", server.get("/metrics").content, re.MULTILINE)[1])
