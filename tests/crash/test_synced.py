"""A step is answered when it is on disk, and not before: seen in the system calls of a running server."""

from __future__ import annotations

import itertools

import pytest

from app.stores.journal import FILES
from app.stores.lmdb import FILE
from tests.crash.strace import WATCHED, events, traced
from tests.service.lab import serving, talk

STEPS = 10


def steps_over_rest(server):
    for step in range(1, STEPS + 1):
        reply = server.post("/v1/sessions/a/steps", {"values": [step], "step": step})
        assert reply.json()["applied"] == 1


def steps_over_a_socket(server):
    with talk(server) as socket:
        for step in range(1, STEPS + 1):
            assert socket.ask(op="step", session="a", values=[step], step=step)["applied"] == 1


def before_answers(trace):
    """For every answer, what happened between the arrival of its request and itself; repetitions left out."""
    since = []
    for event in trace:
        if event == "answered":
            yield [kind for kind, _ in itertools.groupby(since)]
        since = [] if event == "arrived" else [*since, event]


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("stream", [steps_over_rest, steps_over_a_socket])
@pytest.mark.parametrize(("durability", "expected"), [("sync", ["written", "synced"]), ("none", ["written"])])
def test_between_a_step_and_its_answer_it_is_written_and_synced(models_dir, tmp_path, stream, durability, expected):
    with serving(models_dir, tmp_path, durability=durability) as server:
        server.post("/v1/sessions", {"id": "a", "model": "sum", "start": 0})
        pid, log = server.process.pid, tmp_path / "trace"
        with traced(pid, log, "-e", f"trace={WATCHED}"):
            stream(server)
        files = FILES if durability == "sync" else [FILE]
        assert list(before_answers(events(log, files))) == [expected] * STEPS
