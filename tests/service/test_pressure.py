"""Whatever one client does, the others are answered in time: slow readers, floods, huge bodies."""

from __future__ import annotations

import json
import socket as sockets
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec
from websockets.exceptions import ConnectionClosed

from tests.bundles import write_bundle
from tests.service.lab import blocked, serving, talk

NOON = 1_767_268_800
UPDATES = 6000
PIPELINED = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
MOST_PIPELINED_BYTES = 24 * 2**20  # more than all buffers on the way hold together
IN_TIME = 1.0  # seconds; an answer takes a few milliseconds, but the machine may be busy


def slowest_answer(server, name, seconds, is_over=lambda: True) -> float:
    """The longest that a well-behaved client waits for so long, and until it is over; it is never refused."""
    slowest, end, step = 0.0, time.monotonic() + seconds, 0
    with talk(server) as socket:
        socket.ask(op="open", id=name, model="sum", version="1", start=NOON)
        while time.monotonic() < end or not is_over():
            began, step = time.monotonic(), step + 1
            assert socket.ask(op="step", session=name, values=[1], step=step)["step"] == step
            slowest = max(slowest, time.monotonic() - began)
    return slowest


def test_a_slow_reader_is_closed_and_never_stalls_the_others(strict, name):
    with talk(strict) as socket:
        for i in range(400):
            assert socket.ask(op="open", id=f"{name}-{i}", model="sum", version="1", start=NOON)["op"] == "opened"

    def has_given_up() -> bool:
        return "has not read for 1 s" in strict.log.read_text()

    with blocked(strict) as slow:
        stop = threading.Event()
        flood = threading.Thread(target=ask_for_much, args=(slow.socket, name, stop))
        flood.start()
        assert slowest_answer(strict, f"{name}-quick", 1, has_given_up) < IN_TIME
        stop.set()
        assert list(slow)  # all that was written before the server gave up
        flood.join(10)
    assert slow.socket.close_code == 1013
    assert b"\ntidegate_sockets 0.0" in strict.get("/metrics").content


def ask_for_much(slow, name, stop) -> None:
    """Columns of 400 sessions, one after the other, until told to stop."""
    names = ", ".join(f'"{name}-{i}"' for i in range(400))
    values = ", ".join(["1"] * 400)
    frame = f'{{"op": "steps", "sessions": [{names}], "values": [{values}]}}'
    try:
        while not stop.is_set():
            slow.send(frame)
    except ConnectionClosed:
        pass


def test_the_newest_update_wins_where_a_subscriber_reads_slowly(tmp_path):
    levels = tuple(round(i / 100, 2) for i in range(1, 100))  # updates that fill every buffer soon
    write_bundle(tmp_path / "models", levels=levels)
    with serving(tmp_path / "models", tmp_path, store="memory", ws_send_seconds=60) as server, talk(server) as steps:
        steps.ask(op="open", id="a", start=NOON)
        with blocked(server) as slow:
            assert slow.ask(op="subscribe", ref=1, session="a")["op"] == "subscribed"
            steps.ask_all([{"op": "step", "session": "a", "values": [0]} for _ in range(UPDATES)])
            seen = [slow.receive()["step"]]
            while seen[-1] < UPDATES:
                seen.append(slow.receive()["step"])
            assert seen == sorted(set(seen))
            assert len(seen) < UPDATES / 2
            steps.ask(op="step", session="a", values=[0])
            assert slow.receive()["step"] == UPDATES + 1  # nothing older follows


def test_a_flood_is_refused_as_overloaded_and_what_was_taken_is_answered(strict, name):
    names = [f"{name}-{i}" for i in range(6)]
    sockets_open = [talk(strict) for _ in names]
    entered = [one.__enter__() for one in sockets_open]
    try:
        for one, socket in zip(names, entered, strict=True):
            socket.ask(op="open", id=one, model="sum", version="1", start=NOON)
        senders = [threading.Thread(target=_send_many, args=pair) for pair in zip(entered, names, strict=True)]
        for sender in senders:
            sender.start()
        counted = [_count(socket) for socket in entered]
        for sender in senders:
            sender.join()
    finally:
        for one in sockets_open:
            one.__exit__(None, None, None)
    for one, (applied, refused) in zip(names, counted, strict=True):
        assert applied + refused == 1000
        assert strict.get(f"/v1/sessions/{one}").json()["step"] == applied
    assert sum(applied for applied, _ in counted)
    assert sum(refused for _, refused in counted)  # six windows of 64 are more than 300


def _send_many(socket, name) -> None:
    for i in range(1000):
        socket.send(op="step", ref=i, session=name, values=[1], forecast=False)


def _count(socket) -> tuple[int, int]:
    replies = [socket.receive() for _ in range(1000)]
    refused = [reply for reply in replies if reply["op"] == "error"]
    assert {reply["code"] for reply in refused} <= {"overloaded"}
    return 1000 - len(refused), len(refused)


def test_overloaded_says_when_to_try_again(models_dir, tmp_path):
    with serving(models_dir, tmp_path, max_sessions=1) as small:
        assert small.post("/v1/sessions", {"id": "a", "model": "sum"}).status_code == 201
        answer = small.post("/v1/sessions", {"id": "b", "model": "sum"})
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1


def test_a_body_that_is_too_large_is_not_read(strict):
    with sockets.create_connection(("127.0.0.1", strict.port), timeout=5) as raw:
        raw.sendall(b"POST /v1/forecast HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n{")
        answer = raw.makefile("rb").read()  # to the end, which the server makes
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too-large"' in answer


def test_a_body_in_chunks_that_grows_too_large_is_cut_off(strict):
    chunk = b"%x\r\n" % 60_000 + b"1" * 60_000 + b"\r\n"
    with sockets.create_connection(("127.0.0.1", strict.port), timeout=5) as raw:
        raw.sendall(b"POST /v1/forecast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
        assert raw.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_bad_bodies_cost_others_nothing(strict, name):
    bad = [
        b'{"values": ' + b"[" * 90_000,
        b'{"values": [' + b"1," * 49_000 + b"true]}",
        b"9" * 99_000,
        b'{"a":' * 19_000,
    ]
    stop = threading.Event()

    def send_bad() -> None:
        while not stop.is_set():
            for body in bad:
                answer = strict.http.post("/v1/sessions/x/steps", content=body)
                assert answer.status_code == 422
                assert len(answer.content) < 1000

    sender = threading.Thread(target=send_bad)
    sender.start()
    try:
        assert slowest_answer(strict, name, 1) < IN_TIME
    finally:
        stop.set()
        sender.join()


def test_a_caller_that_leaves_does_not_strand_the_others(strict, name):
    strict.post("/v1/sessions", {"id": name, "model": "sum", "version": "1"})
    body = b'{"values": [1]}'
    head = f"POST /v1/sessions/{name}/steps HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for _ in range(50):
        with sockets.create_connection(("127.0.0.1", strict.port)) as raw:
            raw.sendall(head + body)
    with sockets.create_connection(("127.0.0.1", strict.port)) as raw:
        raw.sendall(head + body[:5])  # and never the rest
    assert strict.post(f"/v1/sessions/{name}/steps", {"values": [1]}).status_code == 200
    assert "Traceback" not in strict.log.read_text()


def test_long_work_is_refused_before_it_would_wait_for_long_and_live_steps_go_on(models_dir, tmp_path, name):
    body = msgspec.json.encode({"model": "sum", "version": "1", "series": [{"values": [1] * 400}] * 500})
    with serving(models_dir, tmp_path, max_wait_seconds=0.5, tick_steps=256, store="memory") as hurried:
        answers, stop = [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answers.append(httpx.post(f"{hurried.url}/v1/forecast", content=body, timeout=30))

        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        slowest = slowest_answer(hurried, name, 2)
        stop.set()
        for asker in askers:
            asker.join()
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) < len(answers)
    assert refused
    assert all(answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert any("and at most 0.5 s are waited for; try again in" in answer.json()["detail"] for answer in refused)
    assert slowest < IN_TIME


def test_a_thousand_connections_over_rest_do_not_starve_a_websocket(server, name):
    """Each of them has a request under way all the time, and is answered or told to come back."""
    assert server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1"}).status_code == 201
    command = [sys.executable, Path(__file__).with_name("flood.py"), str(server.port), "1000", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as flood:
        assert flood.stdout.readline() == "all connected\n"
        slowest = slowest_answer(server, f"{name}-socket", 1.5)
        statuses = json.loads(flood.communicate("stop\n")[0])
    assert flood.returncode == 0
    assert set(statuses) <= {"200", "503"}
    assert statuses["200"]
    assert sum(statuses.values()) >= 1000
    assert slowest < IN_TIME


def test_a_client_that_asks_on_without_reading_is_not_read_either(server, name):
    """HTTP pipelining (RFC 9112, 9.3.2): requests may be sent before earlier ones are answered."""
    with sockets.socket() as greedy:
        greedy.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        greedy.connect(("127.0.0.1", server.port))
        greedy.settimeout(1.0)
        block, sent = PIPELINED * 2000, 0
        try:
            while sent < MOST_PIPELINED_BYTES:
                sent += greedy.send(block)
        except TimeoutError:
            pass
        assert sent < MOST_PIPELINED_BYTES
        assert slowest_answer(server, name, 0.5) < IN_TIME


def test_requests_sent_ahead_are_answered_in_their_order(server, name):
    assert server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1", "start": NOON}).status_code == 201

    def request(step: int) -> bytes:
        body = json.dumps({"values": [1], "step": step, "forecast": False}).encode()
        return (
            f"POST /v1/sessions/{name}/steps HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )

    steps = range(1, 3001)
    with sockets.create_connection(("127.0.0.1", server.port), timeout=20) as ahead:
        asking = threading.Thread(target=ahead.sendall, args=(b"".join(map(request, steps)),))
        asking.start()
        received = b""
        while received.count(b'"step":') < len(steps):
            part = ahead.recv(2**16)
            assert part, "the connection was closed"
            received += part
        asking.join()
    told = [int(part.partition(b",")[0]) for part in received.split(b'"step":')[1:]]
    assert told == list(steps)
