"""Stopping the process: nobody gets half an answer, and nobody can hold it up for longer than the grace time."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket as sockets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from tests.service.lab import blocked, serving, talk
from tests.service.test_pressure import NOON, ask_for_much

STEP = '{"values": [1], "forecast": false}'
LONG = b'{"model": "sum", "series": [{"values": [' + b"1, " * 1_000_000 + b"1]}]}"
HALF = b"POST /v1/forecast HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_quietly(models_dir, tmp_path, number, workers):
    with (
        serving(models_dir, tmp_path, grace_seconds=60, workers=workers) as server,
        sockets.create_connection(("127.0.0.1", server.port)) as raw,
    ):
        raw.sendall(HALF)  # and never the rest: a request under way
        server.get("/health/live")
        server.process.send_signal(number)
        time.sleep(0.5)
        assert server.process.poll() is None
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 5
        assert "cut off, since not ended: requests 1, sockets 0" in quiet(server)


def test_a_second_signal_answers_who_waits_for_the_engine(models_dir, tmp_path):
    with (
        serving(models_dir, tmp_path, grace_seconds=60, store="memory", max_wait_seconds=60) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = [pool.submit(ask_long, server) for _ in range(8)]
        wait_for(server, "tidegate_queue_depth", 2)
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert server.process.wait(30) == 0
        assert {"draining"} <= {answer.result(10) for answer in answers} <= {"draining", "forecast", "closed"}
        assert "cut off" not in quiet(server)


def ask_long(server) -> str:
    """What becomes of a forecast that takes its time."""
    try:
        answer = httpx.post(f"{server.url}/v1/forecast", content=LONG, timeout=60)
    except httpx.TransportError as error:
        return "half an answer" if "complete message" in str(error) else "closed"
    return "forecast" if answer.status_code == 200 else answer.json()["code"]


def test_a_request_that_never_ends_is_cut_off_after_the_grace_time(models_dir, tmp_path):
    with (
        serving(models_dir, tmp_path, grace_seconds=1) as server,
        sockets.create_connection(("127.0.0.1", server.port)) as raw,
    ):
        raw.sendall(HALF)
        server.get("/health/live")
        began = time.monotonic()
        assert server.terminate() == 0
        assert 1 < time.monotonic() - began < 10
        assert raw.recv(1) == b""
        assert "cut off, since not ended: requests 1, sockets 0" in quiet(server)


def test_nothing_is_said_of_cutting_off_where_nobody_is(models_dir, tmp_path):
    with serving(models_dir, tmp_path) as server:
        server.http.close()
        server.process.send_signal(signal.SIGTERM)
        assert server.terminate() == 0
        assert "cut off" not in quiet(server)


def wait_for(server, gauge, least) -> None:
    """Until a gauge is so high."""
    while float(re.search(rf"^{gauge} (\S+)", server.get("/metrics").text, re.MULTILINE)[1]) < least:
        time.sleep(0.02)


def quiet(server) -> str:
    """The log, which has neither an error nor a traceback in it."""
    log = server.log.read_text()
    assert not re.search("Traceback|ERROR|CRITICAL|Error", log), log
    return log


def test_a_reader_with_much_unread_does_not_hold_up_the_end_and_the_others_are_told(models_dir, tmp_path):
    limits = {"grace_seconds": 1, "ws_send_seconds": 60, "store": "memory"}
    with serving(models_dir, tmp_path, **limits) as server, talk(server) as good, blocked(server) as slow:
        for i in range(400):
            good.send(op="open", id=f"s-{i}", model="sum", version="1", start=NOON)
        assert {good.receive()["op"] for _ in range(400)} == {"opened"}
        stop = threading.Event()
        flood = threading.Thread(target=ask_for_much, args=(slow.socket, "s", stop))
        flood.start()
        wait_until_blocked(server)
        server.process.send_signal(signal.SIGTERM)
        assert list(good) == [{"op": "draining"}]
        assert good.socket.close_code == 1012
        began = time.monotonic()
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 10
        assert "cut off, since not ended: requests 0, sockets 1" in quiet(server)
        stop.set()
        flood.join(10)


def wait_until_blocked(server) -> None:
    """Until nothing more is computed, because what was computed is not read."""
    before, now = 0, -1
    while now in {-1, 0} or now != before:
        time.sleep(0.3)
        before = now
        now = int(float(re.search(r"^tidegate_steps_total (\S+)", server.get("/metrics").text, re.MULTILINE)[1]))


def test_who_asks_in_the_moment_of_closing_gets_a_whole_answer_or_none(models_dir, tmp_path):
    """Nobody gets half an answer, and what was answered is kept."""
    data = tmp_path / "data"
    with serving(models_dir, tmp_path, data_dir=data) as server:
        callers = [Caller(server, f"s{i}") for i in range(16)]
        for caller in callers:
            caller.start()
        while not all(caller.applied > 2 for caller in callers):
            time.sleep(0.01)
        assert server.terminate() == 0
        for caller in callers:
            caller.join(10)
    assert {caller.ended_by for caller in callers} <= {"closed", "draining"}
    with serving(models_dir, tmp_path, data_dir=data) as server:
        for caller in callers:
            assert server.get(f"/v1/sessions/{caller.name}").json()["step"] - caller.applied in {0, 1}


class Caller(threading.Thread):
    """Sends steps one after the other until the server does not take any more."""

    def __init__(self, server, name) -> None:
        super().__init__()
        self.name, self.applied, self.ended_by = name, 0, "never"
        assert server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1"}).status_code == 201
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)

    def run(self) -> None:
        with closing(self._connection):
            while self.ended_by == "never":
                self._ask()

    def _ask(self) -> None:
        try:
            self._connection.request("POST", f"/v1/sessions/{self.name}/steps", STEP)
            answer = self._connection.getresponse()  # raises ConnectionError where no byte of an answer came
        except ConnectionError:
            self.ended_by = "closed"
            return
        try:
            document = json.loads(answer.read())
        except (ConnectionError, http.client.IncompleteRead, ValueError):
            self.ended_by = "half an answer"
            return
        if answer.status == 200:
            self.applied += 1
        else:
            self.ended_by = document["code"]
