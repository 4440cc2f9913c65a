"""Sessions opened on a running server, for scripts to step."""

from __future__ import annotations

from tests.benchmarks.serving.scripts import START, Members, value
from tests.service.lab import Server, talk

AT_ONCE = 64
LONGEST_FRAME = 10_000


def open_sessions(server: Server, prefix: str, count: int, history: int = 24) -> Members:
    """`count` new sessions that have had `history` observations."""
    names = [f"{prefix}-{i}" for i in range(count)]
    first = {"values": [value(step) for step in range(history)]} if history else None
    with talk(server) as socket:
        for begin in range(0, count, AT_ONCE):
            some = names[begin : begin + AT_ONCE]
            for name in some:
                socket.send(op="open", id=name, start=START, history=first)
            for _ in some:
                expect(socket.receive(), "opened")
    return Members(names, [history] * count)


def open_old_session(server: Server, name: str, age: int) -> None:
    """A session that has had `age` observations."""
    with talk(server) as socket:
        expect(socket.ask(op="open", id=name, start=START), "opened")
        for begin in range(0, age, LONGEST_FRAME):
            values = [value(step) for step in range(begin, min(begin + LONGEST_FRAME, age))]
            expect(socket.ask(op="step", session=name, values=values, forecast=False), "stepped")


def fork_sessions(server: Server, parent: str, count: int, age: int) -> Members:
    """Copies of a session that has had `age` observations."""
    names = [f"{parent}-{i}" for i in range(count)]
    for name in names:
        server.post(f"/v1/sessions/{parent}/fork", {"id": name}).raise_for_status()
    return Members(names, [age] * count)


def expect(reply: dict, op: str) -> None:
    if reply["op"] != op:
        raise ValueError(f"the server was asked to do something and answers {str(reply)[:600]}")
