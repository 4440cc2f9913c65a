"""Several workers behind one port: whichever of them is asked, a session is served by the one that owns it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from socket import create_connection

import httpx
import psutil
import pytest

from app import server
from app.settings import Settings
from app.workers import supervisor
from tests.bundles import expected
from tests.service.doors import clients, owned_by, serving_together, sockets
from tests.service.lab import ROOT
from tests.service.test_rest import START, median, problem

SUM = {"model": "sum", "version": "1", "start": START}


@pytest.fixture(scope="module")
def together(models_dir, tmp_path_factory):
    """The server that most tests here share; each names sessions of its own."""
    with serving_together(models_dir, tmp_path_factory.mktemp("workers"), durability="interval") as running:
        yield running


@pytest.fixture(scope="module")
def doors(together):
    with clients(together) as found:
        yield found


@pytest.fixture
def ways(together):
    with sockets(together) as found:
        yield found


def opened(client, name, *history, **more):
    past = {"history": {"values": history}} if history else {}
    answer = client.post("/v1/sessions", json={"id": name, **SUM, **past, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def stepped(client, name, *values, **more):
    return client.post(f"/v1/sessions/{name}/steps", json={"values": list(values), **more})


def peeked(document):
    return document["quantiles"]["0.5"]


@pytest.mark.parametrize("owner", [0, 1])
@pytest.mark.parametrize("door", [0, 1])
def test_every_call_is_answered_whichever_worker_gets_it(doors, name, owner, door):
    client, other = doors[door], doors[1 - door]
    (one,) = owned_by(owner, name)
    address = f"/v1/sessions/{one}"
    incarnation = opened(client, one, 1, 2, metadata={"a": 1})["incarnation"]
    problem(client.post("/v1/sessions", json={"id": one}), 409, "session-exists")
    assert median(stepped(client, one, 3, step=3).json()) == expected([1, 2, 3])
    assert stepped(other, one, 3, step=3).json()["replayed"]
    assert problem(stepped(client, one, 3, step=9), 409, "step-gap")["expected_step"] == 4
    assert median(stepped(other, one, 4, 5, step=4).json()) == expected([1, 2, 3, 4, 5])
    described = client.get(address).json()
    assert (described["step"], described["incarnation"], described["metadata"]) == (5, incarnation, {"a": 1})
    assert peeked(client.get(f"{address}/forecast").json()) == expected([1, 2, 3, 4, 5])
    assert peeked(client.post(f"{address}/forecast", json={"values": [6]}).json()) == expected([1, 2, 3, 4, 5, 6])
    assert client.get(f"{address}/history?limit=2").json()["values"] == [4, 5]
    assert len(client.get(f"{address}/gates").json()["step"]) == 5
    problem(stepped(client, one, 1, incarnation="0" * 16), 410, "session-gone")
    problem(stepped(client, one, "x"), 422, "invalid-request")
    assert client.delete(address).status_code == 204
    problem(other.get(address), 410, "session-gone")
    problem(client.get(f"{address}.never"), 404, "session-not-found")


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("source", [0, 1])
@pytest.mark.parametrize("door", [0, 1])
def test_a_session_forks_and_travels_to_any_worker(doors, name, door, source, target):
    client = doors[door]
    (old,), (new, copy) = owned_by(source, f"{name}-old"), owned_by(target, f"{name}-new", 2)
    opened(client, old, 1, 2, metadata={"a": 1})
    fork = client.post(f"/v1/sessions/{old}/fork", json={"id": new})
    assert (fork.status_code, fork.headers["location"]) == (201, f"/v1/sessions/{new}")
    assert (fork.json()["step"], fork.json()["metadata"]) == (2, {"a": 1})
    blob = client.get(f"/v1/sessions/{old}/export").content
    assert client.post(f"/v1/sessions/import?id={copy}", content=blob).status_code == 201
    for one, value in ((old, 3), (new, 4), (copy, 5)):
        assert median(stepped(client, one, value, step=3).json()) == expected([1, 2, value])
    problem(client.post(f"/v1/sessions/{old}/fork", json={"id": new}), 409, "session-exists")
    problem(client.post(f"/v1/sessions/{old}/fork", json={"id": old}), 409, "session-exists")
    problem(client.post(f"/v1/sessions/{new}.never/fork", json={"id": old}), 404, "session-not-found")
    made_up = client.post(f"/v1/sessions/{old}/fork", json={}).json()
    assert client.get(f"/v1/sessions/{made_up['id']}").json()["step"] == 3


def test_a_list_has_the_sessions_of_all_workers_in_the_order_of_their_ids(doors, name):
    names = sorted(f"{name}.{i}" for i in range(11))
    for one in names:
        opened(doors[0], one)
    for client in doors:
        found, cursor = [], {}
        while cursor is not None:
            page = client.get("/v1/sessions", params={"prefix": name, "limit": 3, **cursor}).json()
            found += [session["id"] for session in page["sessions"]]
            assert len(page["sessions"]) == 3 or page["next_cursor"] is None
            cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
        assert found == names


def test_the_whole_service_tells_how_it_is_through_any_door(doors):
    for number, client in enumerate(doors):
        info = client.get("/v1/info").json()
        assert info["worker"] == number
        assert [one["worker"] for one in info["workers"]] == [0, 1]
        assert len({one["pid"] for one in info["workers"]}) == 2
        assert info["sessions"] == sum(one["sessions"] for one in info["workers"])
        metrics = client.get("/metrics").text
        assert all(f'tidegate_sessions{{worker="{worker}"}}' in metrics for worker in (0, 1))
        assert f'code="200",surface="rest",worker="{number}"' in metrics
        assert client.get("/health/ready").json()["reasons"] == []
        assert client.post("/v1/forecast", json={"series": [{"values": [1]}]}).status_code == 200
        assert f"<b>{info['sessions']:,}</b>sessions" in client.get("/").text


@pytest.mark.parametrize("subprotocol", ["tidegate.v1.json", "tidegate.v1.msgpack"])
def test_every_frame_is_answered_whichever_worker_gets_it(together, name, subprotocol):
    with sockets(together, subprotocol) as ways:
        for door, owner in itertools.product((0, 1), (0, 1)):
            socket, other = ways[door], ways[1 - door]
            (one,) = owned_by(owner, f"{name}-{door}")
            assert socket.ask(op="open", ref=1, id=one, **SUM)["step"] == 0
            assert socket.ask(op="subscribe", ref=2, session=one)["op"] == "subscribed"
            assert median(other.ask(op="step", ref=3, session=one, values=[7])) == expected([7])
            update = socket.receive()
            assert (update["op"], update["session"], median(update)) == ("update", one, expected([7]))
            assert socket.ask(op="unsubscribe", ref=4, session=one)["op"] == "unsubscribed"
            assert other.ask(op="step", ref=5, session=one, values=[1])["step"] == 2
            assert peeked(socket.ask(op="peek", ref=6, session=one)) == expected([7, 1])
            assert socket.ask(op="step", ref=7, session=one, values=[1], step=9)["code"] == "step-gap"
            assert socket.ask(op="close", ref=8, session=one)["op"] == "closed"
            assert other.ask(op="open", ref=9, id=one, **SUM)["step"] == 0


def test_who_subscribes_hears_of_every_step_from_then_on_while_others_come_and_go(ways, name):
    """Steps and subscriptions of one session cross each other on the way between the workers."""
    (one,) = owned_by(1, name)
    here, owner = ways
    owner.ask(op="open", id=one, **SUM)
    for turn in range(1, 101):
        here.send(op="unsubscribe", ref=turn, session=one)
        here.send(op="subscribe", ref=turn, session=one)
        assert [here.receive()["op"], here.receive()["op"]] == ["unsubscribed", "subscribed"]
        owner.ask(op="step", session=one, values=[1], step=turn, forecast=False)
        update = here.receive()
        assert (update["op"], update["step"]) == ("update", turn)


def test_a_column_is_split_and_joined(ways, name):
    names = [*owned_by(0, name, 3), *owned_by(1, name, 4)]
    names = [names[i] for i in (3, 0, 4, 1, 5, 2, 6)]
    for door, socket in enumerate(ways):
        for one in names[:-1]:
            socket.ask(op="open", id=f"{one}.{door}", **SUM)
        mine = [f"{one}.{door}" for one in names]
        reply = socket.ask(op="steps", ref=1, sessions=mine, values=[1, 2, 3, 4, 5, 6, 7], steps=[1, 1, 1, 9, 1, 1, 1])
        assert reply["step"] == [1, 1, 1, None, 1, 1, None]
        assert [(error["index"], error["code"]) for error in reply["errors"]] == [
            (3, "step-gap"), (6, "session-not-found"),
        ]  # fmt: skip
        middle = reply["levels"].index(0.5)
        medians = [rows and rows[middle] for rows in reply["quantiles"]]
        assert medians == [expected([1]), expected([2]), expected([3]), None, expected([5]), expected([6]), None]
        assert socket.ask(op="steps", ref=2, sessions=mine[:2], values=[1, 2, 3])["code"] == "invalid-request"
        assert socket.ask(op="steps", ref=3, sessions=["no.1", "no.2", "no.3"], values=[1] * 3)["step"] == [None] * 3


def test_a_column_of_different_models_has_the_levels_of_its_first_session(ways, name):
    (wide,), (narrow,) = owned_by(0, name), owned_by(1, name)
    for socket in ways:
        socket.ask(op="open", id=wide, **SUM, if_exists="return")
        socket.ask(op="open", id=narrow, **{**SUM, "version": "2"}, if_exists="return")
        reply = socket.ask(op="steps", sessions=[wide, narrow], values=[1, 1])
        assert reply["levels"] == [0.1, 0.5, 0.9]
        assert [rows is None for rows in reply["quantiles"]] == [False, True]
        reply = socket.ask(op="steps", sessions=[wide, narrow], values=[1, 1], forecast={"quantiles": [0.3, 0.5]})
        assert [len(rows) for rows in reply["quantiles"]] == [2, 2]
        for wide_level, narrow_level in zip(*reply["quantiles"], strict=True):
            assert wide_level == pytest.approx(narrow_level)


def test_answers_of_a_session_come_in_order_although_columns_wait_for_several_workers(ways, name):
    names = [*owned_by(0, name, 3), *owned_by(1, name, 3)]
    for one in names:
        ways[0].ask(op="open", id=one, **SUM)
    for socket in ways:
        sent = {one: [] for one in names}
        for ref in range(400):
            concerned = names[ref % 3 :: 3] if ref % 4 == 0 else [names[ref % 6]]
            if len(concerned) > 1:
                values = [True if ref % 16 == 0 else 1] * len(concerned)
                socket.send(op="steps", ref=ref, sessions=concerned, values=values, forecast=False)
            else:
                socket.send(op="step", ref=ref, session=concerned[0], values=[1], forecast=False)
            for one in concerned:
                sent[one].append(ref)
        place = {socket.receive()["ref"]: place for place in range(400)}
        for refs in sent.values():
            assert [place[ref] for ref in refs] == sorted(place[ref] for ref in refs)


def test_more_than_a_window_of_another_workers_requests_are_all_answered(ways, name):
    for socket, owner in ((ways[0], 1), (ways[1], 0)):
        (one,) = owned_by(owner, name)
        socket.ask(op="open", id=one, **SUM)
        for step in range(1, 301):
            socket.send(op="step", ref=step, session=one, values=[1], step=step, forecast=False)
        assert [socket.receive()["step"] for _ in range(300)] == list(range(1, 301))


def test_a_step_sent_by_many_is_applied_once(together, doors, ways, name):
    names = [*owned_by(0, name, 2), *owned_by(1, name, 2)]
    for one in names:
        opened(doors[0], one)
    applied, lock = dict.fromkeys(names, 0), threading.Lock()

    def send(answer_to):
        for step in range(1, 31):
            for one in names:
                reply = answer_to(one, step)
                assert reply["step"] == step, reply
                with lock:
                    applied[one] += reply["applied"]

    def over_rest(client):
        return lambda one, step: stepped(client, one, step, step=step).json()

    def over_socket(socket):
        return lambda one, step: socket.ask(op="step", session=one, values=[step], step=step)

    callers = [*map(over_rest, doors), *map(over_socket, ways)]
    threads = [threading.Thread(target=send, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert applied == dict.fromkeys(names, 30)
    for one in names:
        assert peeked(doors[1].get(f"/v1/sessions/{one}/forecast").json()) == expected(list(range(1, 31)))


def test_sigterm_answers_everybody_and_a_restart_resumes_all(models_dir, tmp_path):
    names = [f"s{i}" for i in range(12)]
    with serving_together(models_dir, tmp_path, data_dir=tmp_path / "data") as first, sockets(first) as ways:
        for one in names:
            ways[0].ask(op="open", id=one, **SUM)
        for socket, turn in itertools.product(ways, range(1, 41)):
            socket.send(op="steps", ref=turn, sessions=names, values=[1] * len(names), steps=[turn] * 12)
        ways[0].receive()
        first.process.send_signal(signal.SIGTERM)
        reached = 0
        for socket in ways:
            frames = list(socket)
            assert socket.socket.close_code == 1012
            assert frames[-1] == {"op": "draining"}
            assert len(frames) == 40 + (socket is ways[1])
            steps = [step for one in frames[:-1] if one["op"] == "stepped" for step in one["step"] if step]
            reached = max([reached, *steps])
        assert first.process.wait(20) == 0
        assert "Traceback" not in first.log.read_text()
    with serving_together(models_dir, tmp_path, data_dir=tmp_path / "data") as second, clients(second) as doors:
        for client, one in zip(itertools.cycle(doors), names, strict=False):
            step = client.get(f"/v1/sessions/{one}").json()["step"]
            assert reached <= step <= 40
            assert median(stepped(client, one, 5, step=step + 1).json()) == expected([1] * step + [5])
        with endless_request(second):
            second.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                second.process.wait(1)
            second.process.send_signal(signal.SIGTERM)  # at once, without waiting for that one
            assert second.process.wait(5) == 0


@contextmanager
def endless_request(server):
    """A request whose body never comes to an end."""
    with create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/forecast HTTP/1.1\r\nHost: tidegate\r\nContent-Length: 1000\r\n\r\n{")
        time.sleep(0.2)
        yield


def test_when_a_worker_dies_all_end_visibly_and_nothing_that_was_answered_is_lost(models_dir, tmp_path):
    names = [*owned_by(0, "s", 2), *owned_by(1, "s", 2)]
    answered = dict.fromkeys(names, 0)
    with serving_together(models_dir, tmp_path, data_dir=tmp_path / "data") as first:
        for one in names:
            opened(first.http, one)
        threads = [threading.Thread(target=_step_until_the_end, args=(first, one, answered)) for one in names]
        for thread in threads:
            thread.start()
        while min(answered.values()) < 5:
            time.sleep(0.01)
        victim = first.get("/v1/info").json()["workers"][1]["pid"]
        os.kill(victim, signal.SIGKILL)
        assert first.process.wait(20) == 1
        for thread in threads:
            thread.join(20)
        assert f"worker 1 (process {victim}) ended with -9; the service stops" in first.log.read_text()
    with serving_together(models_dir, tmp_path, data_dir=tmp_path / "data") as second:
        for one in names:
            step = second.get(f"/v1/sessions/{one}").json()["step"]
            assert step - answered[one] in {0, 1}
            assert median(stepped(second.http, one, 1).json()) == expected([*range(1, step + 1), 1])
        workers = [one["pid"] for one in second.get("/v1/info").json()["workers"]]
        second.process.kill()
        _wait_for_the_end_of(workers)


def test_a_worker_that_is_slow_to_stop_has_not_failed(models_dir, tmp_path):
    with serving_together(models_dir, tmp_path, store="memory") as server:
        quick, slow = (one["pid"] for one in server.get("/v1/info").json()["workers"])
        os.kill(slow, signal.SIGSTOP)
        try:
            server.process.send_signal(signal.SIGTERM)
            _wait_for_the_end_of([quick])
        finally:
            os.kill(slow, signal.SIGCONT)
        assert server.process.wait(30) == 0
        assert "ERROR" not in server.log.read_text()


def _step_until_the_end(server, one, answered):
    """Step a session until the service ends, and note what was answered."""
    with httpx.Client(base_url=server.url, timeout=20) as client:
        for step in itertools.count(1):
            try:
                answer = stepped(client, one, step, step=step)
            except httpx.TransportError:
                return
            if answer.status_code != 200:
                assert answer.json()["code"] == "draining", answer.text
                return
            answered[one] = step


def _wait_for_the_end_of(workers):
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(worker) for worker in workers):
        assert time.monotonic() < deadline, "the workers go on without their supervisor"
        time.sleep(0.05)


def test_a_data_directory_is_for_one_server_and_its_number_of_workers(models_dir, tmp_path, caplog):
    def refused(port=0, **settings):
        """Why another server cannot start."""
        caplog.clear()
        assert supervisor.serve(Settings(models=models_dir, port=port, **{"workers": 2, **settings})) == 1
        return caplog.text

    names, data = [f"s{i}" for i in range(20)], tmp_path / "data"
    with serving_together(models_dir, tmp_path, data_dir=data) as first:
        for i, one in enumerate(names):
            opened(first.http, one, i)
        first.http.delete("/v1/sessions/s0")
        assert f"in use by process {first.process.pid}" in refused(data_dir=data)
        assert f"cannot listen on 127.0.0.1 port {first.port}" in refused(first.port, data_dir=tmp_path / "other")
        assert first.terminate() == 0
    remedy = f"start with --workers 2, or move the sessions: tidegate repartition --data-dir {data} --workers"
    assert f"{remedy} 3" in refused(data_dir=data, workers=3)
    assert server.serve(Settings(models=models_dir, port=0, data_dir=data)) == 1
    assert f"{remedy} 1" in caplog.text
    command = [sys.executable, "-m", "app", "repartition", "--data-dir", data, "--workers", "3"]
    moved = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "19 sessions and 1 ends moved, 0 damaged" in moved.stdout
    with serving_together(models_dir, tmp_path, data_dir=data, workers=3) as third:
        assert len(third.get("/v1/sessions").json()["sessions"]) == 19
        problem(third.get("/v1/sessions/s0"), 410, "session-gone")
        for i, one in enumerate(names[1:], 1):
            assert median(stepped(third.http, one, 2, step=2).json()) == expected([i, 2])
