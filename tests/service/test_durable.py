"""Sessions outlive their sockets and the process, are never mistaken for each other, and travel."""

from __future__ import annotations

import signal
import time

import pytest

from tests.bundles import expected
from tests.service.lab import serving, talk
from tests.service.test_rest import START, median, problem

SUM = {"model": "sum", "version": "1", "start": START}


def opened(server, name, *history, **more):
    body = {"id": name, **SUM, "history": {"values": list(history)}, **more}
    answer = server.post("/v1/sessions", body)
    assert answer.status_code == 201
    return answer.json()


def stepped(server, name, value, **more):
    return server.post(f"/v1/sessions/{name}/steps", {"values": [value], **more})


def test_a_restart_resumes_every_session_where_it_was(models_dir, tmp_path):
    """Six servers after each other on the same data; each finds what the one before was told, however that ended."""
    data, step = tmp_path / "data", 3
    with serving(models_dir, tmp_path, data_dir=data) as first:
        for i in range(20):
            opened(first, f"s{i}", i, 1, metadata={"i": i})
        for i in range(20):
            stepped(first, f"s{i}", 5, step=step)
        first.http.delete("/v1/sessions/s0")
        assert first.terminate() == 0
    for durability in ("sync", "interval", "none"):
        for ending in (signal.SIGKILL, signal.SIGTERM):
            with serving(models_dir, tmp_path, durability=durability, sync_seconds=0.05, data_dir=data) as server:
                step = go_on(server, step)
                if durability == "interval" and ending == signal.SIGKILL:
                    time.sleep(0.3)  # the interval, several times
                server.process.send_signal(ending)
                server.process.wait(30)
    with serving(models_dir, tmp_path, data_dir=data) as last:
        go_on(last, step)


def go_on(server, step) -> int:
    """Repeat every session's last step, which was 5, and send another; the number of that."""
    assert len(server.get("/v1/sessions").json()["sessions"]) == 19
    assert problem(stepped(server, "s0", 1), 410, "session-gone")["reason"] == "closed"
    assert server.get("/v1/sessions/s3").json()["metadata"] == {"i": 3}
    for i in range(1, 20):
        values = [i, 1] + [5] * (step - 2)
        again = stepped(server, f"s{i}", 5, step=step).json()
        assert (again["replayed"], median(again)) == (True, expected(values))
        assert median(stepped(server, f"s{i}", 5, step=step + 1).json()) == expected([*values, 5])
    return step + 1


def test_a_second_server_on_the_same_directory_says_why_it_cannot_start(models_dir, tmp_path):
    with serving(models_dir, tmp_path, data_dir=tmp_path / "data") as first:
        with pytest.raises(AssertionError), serving(models_dir, tmp_path, data_dir=tmp_path / "data"):
            pass
        (second,) = (log for log in tmp_path.glob("server-*.log") if log != first.log)
        lines = second.read_text().splitlines()
        assert any(f"in use by process {first.process.pid}; stop that process" in line for line in lines)
        assert not any("Traceback" in line for line in lines)
        opened(first, "still-here", 1)


def test_a_step_for_an_earlier_session_of_the_same_id_is_refused(server, name):
    old = opened(server, name, 1)["incarnation"]
    server.http.delete(f"/v1/sessions/{name}")
    new = opened(server, name, 5)["incarnation"]
    gone = problem(stepped(server, name, 2, step=2, incarnation=old), 410, "session-gone")
    assert (gone["reason"], gone["incarnation"]) == ("replaced", new)
    assert median(stepped(server, name, 2, step=2, incarnation=new).json()) == expected([5, 2])
    address = f"/v1/sessions/{name}"
    problem(server.http.delete(address, params={"incarnation": old}), 410, "session-gone")
    assert server.http.delete(address, params={"incarnation": new}).status_code == 204
    problem(stepped(server, name, 2, incarnation="zzz"), 422, "invalid-request")


@pytest.mark.parametrize("subprotocol", ["tidegate.v1.json", "tidegate.v1.msgpack"])
def test_a_socket_means_the_sessions_it_has_met(server, name, subprotocol):
    open_it = {"op": "open", "id": name, **SUM, "history": {"values": [1]}}
    with talk(server, subprotocol) as socket:
        first = socket.ask(ref=1, **open_it)["incarnation"]
        server.http.delete(f"/v1/sessions/{name}")
        second = opened(server, name, 5)["incarnation"]
        late = socket.ask(op="step", ref=2, session=name, values=[2])
        assert (late["code"], late["reason"], late["incarnation"]) == ("session-gone", "replaced", second)
        columns = socket.ask(op="steps", ref=3, sessions=[name], values=[2])
        assert columns["errors"][0]["reason"] == "replaced"
        assert socket.ask(op="close", ref=4, session=name)["reason"] == "replaced"
        meant = socket.ask(op="step", ref=5, session=name, values=[2], incarnation=second)
        assert median(meant) == expected([5, 2])
        assert first != second


def test_a_socket_that_closes_and_opens_again_without_waiting_means_the_new_session(server, name):
    with talk(server) as socket:
        socket.ask(op="open", ref=0, id=name, **SUM)
        socket.send(op="close", ref=1, session=name)
        socket.send(op="open", ref=2, id=name, **SUM)
        socket.send(op="step", ref=3, session=name, values=[4], step=1)
        replies = [socket.receive() for _ in range(3)]
        assert [reply["op"] for reply in replies] == ["closed", "opened", "stepped"]
        assert median(replies[2]) == expected([4])


def test_a_fork_goes_on_by_itself(server, name):
    source = opened(server, name, 1, 2, metadata={"a": 1})
    answer = server.post(f"/v1/sessions/{name}/fork", {"id": f"{name}-b"})
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/sessions/{name}-b")
    fork = answer.json()
    assert (fork["step"], fork["metadata"]) == (2, {"a": 1})
    assert fork["incarnation"] != source["incarnation"]
    assert median(stepped(server, f"{name}-b", 9).json()) == expected([1, 2, 9])
    assert median(stepped(server, name, 3).json()) == expected([1, 2, 3])
    assert server.post(f"/v1/sessions/{name}/fork", {}).json()["step"] == 3
    problem(server.post(f"/v1/sessions/{name}/fork", {"id": f"{name}-b"}), 409, "session-exists")
    problem(server.post("/v1/sessions/nobody/fork", {}), 404, "session-not-found")


def test_a_session_travels_as_bytes(server, strict, name):
    opened(server, name, 1, None, 3, on_gap="missing", metadata={"a": 1})
    blob = server.get(f"/v1/sessions/{name}/export")
    assert blob.headers["content-type"] == "application/octet-stream"
    answer = strict.post("/v1/sessions/import", content=blob.content)
    assert (answer.status_code, answer.json()["id"], answer.json()["step"]) == (201, name, 3)
    assert median(stepped(strict, name, 4, step=4).json()) == expected([1, None, 3, 4])
    assert strict.get(f"/v1/sessions/{name}/export").content != blob.content
    problem(server.post("/v1/sessions/import", content=blob.content), 409, "session-exists")
    copy = server.post(f"/v1/sessions/import?id={name}-copy", content=blob.content).json()
    assert (copy["id"], copy["metadata"], copy["on_gap"]) == (f"{name}-copy", {"a": 1}, "missing")
    broken = bytearray(blob.content)
    broken[-3] ^= 1
    for wrong in (b"", b"{}", bytes(broken), blob.content[:-1]):
        problem(server.post(f"/v1/sessions/import?id={name}-x", content=wrong), 422, "invalid-request")
    problem(server.get(f"/v1/sessions/{name}-x"), 404, "session-not-found")


def test_an_idle_session_expires_and_is_forgotten_later(models_dir, tmp_path):
    with serving(models_dir, tmp_path, idle_seconds=1.0, tombstone_seconds=2.0) as server:
        opened(server, "idle", 1)
        time.sleep(1.2)
        assert problem(stepped(server, "idle", 2), 410, "session-gone")["reason"] == "expired"
        deadline = time.monotonic() + 20
        while server.get("/v1/sessions/idle").status_code == 410 and time.monotonic() < deadline:
            time.sleep(0.2)
        problem(server.get("/v1/sessions/idle"), 404, "session-not-found")
        assert server.get("/v1/sessions").json()["sessions"] == []
