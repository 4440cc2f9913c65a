"""Many sessions on one WebSocket, in JSON and in MessagePack."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.bundles import FATAL, expected
from tests.service.lab import CODECS, talk

NOON = 1_767_268_800


@pytest.fixture(params=CODECS)
def socket(request, server):
    with talk(server, request.param) as socket:
        yield socket


def opened(socket, name, *history, model="sum", **more):
    fields = {"history": {"values": list(history)}} if history else {}
    version = {"version": "1"} if model == "sum" else {}
    reply = socket.ask(op="open", ref="o", id=name, model=model, start=NOON, **version, **fields, **more)
    assert reply["op"] == "opened", reply
    return reply


def median(reply) -> list[float]:
    return reply["forecast"]["quantiles"]["0.5"]


def test_open_step_peek_close(socket, name):
    reply = opened(socket, name, 1, 2, 3)
    assert (reply["ref"], reply["session"], reply["step"]) == ("o", name, 3)
    assert median(reply) == expected([1, 2, 3])
    reply = socket.ask(op="step", ref=2, session=name, values=[4], step=4)
    assert (reply["op"], reply["ref"], reply["step"], reply["time"]) == ("stepped", 2, 4, NOON + 3 * 3600)
    assert (reply["applied"], reply["replayed"]) == (1, False)
    assert reply["forecast"]["start"] == NOON + 4 * 3600
    assert median(reply) == expected([1, 2, 3, 4])
    reply = socket.ask(op="peek", ref=3, session=name, horizon=2, quantiles=[0.5], values=[9])
    assert (reply["op"], reply["ref"], reply["session"]) == ("forecast", 3, name)
    assert reply["quantiles"] == {"0.5": expected([1, 2, 3, 4, 9], 2)}
    assert socket.ask(op="close", ref=4, session=name) == {"op": "closed", "ref": 4, "session": name}
    reply = socket.ask(op="step", ref=5, session=name, values=[4])
    assert (reply["op"], reply["code"], reply["reason"]) == ("error", "session-gone", "closed")
    assert abs(reply["at"] - time.time()) < 60
    (refused,) = socket.ask(op="steps", ref=6, sessions=[name], values=[4])["errors"]
    assert refused["at"] == reply["at"]


def test_the_identity_of_a_step_is_its_place(socket, name):
    opened(socket, name, 1, 2, 3)
    first = socket.ask(op="step", session=name, values=[4], step=4)
    assert socket.ask(op="step", session=name, values=[4], step=4) == first | {"replayed": True, "applied": 0}
    older = socket.ask(op="step", session=name, values=[2], step=2)
    assert (older["replayed"], "forecast" in older) == (True, False)
    assert socket.ask(op="step", session=name, values=[5], step=4)["code"] == "step-conflict"
    gap = socket.ask(op="step", ref=7, session=name, values=[5], step=9)
    assert (gap["op"], gap["ref"], gap["code"], gap["expected_step"]) == ("error", 7, "step-gap", 5)
    assert gap["expected_time"] == NOON + 4 * 3600
    off = socket.ask(op="step", session=name, values=[5], time=NOON + 1)
    assert (off["code"], off["nearest"]) == ("off-grid", NOON)
    assert socket.ask(op="step", session=name, values=[5])["step"] == 5


def test_a_column_moves_many_sessions_and_refuses_single_ones(socket, name):
    names = [f"{name}-{i}" for i in range(4)]
    for one in names[:3]:
        opened(socket, one, 1)
    reply = socket.ask(op="steps", ref=1, sessions=names, values=[10, 20, 30, 40], steps=[2, 5, None, 1])
    assert (reply["op"], reply["ref"]) == ("stepped", 1)
    assert reply["step"] == [2, None, 2, None]
    assert reply["time"] == [NOON + 3600, None, NOON + 3600, None]
    assert reply["levels"] == [0.1, 0.5, 0.9]
    assert [block and block[1] for block in reply["quantiles"]] == [expected([1, 10]), None, expected([1, 30]), None]
    errors = {error["index"]: error["code"] for error in reply["errors"]}
    assert errors == {1: "step-gap", 3: "session-not-found"}
    reply = socket.ask(op="steps", sessions=names[:3], values=[1, None, 3], forecast={"quantiles": [0.5], "horizon": 1})
    assert reply["quantiles"] == [[expected([1, 10, 1], 1)], [expected([1, None], 1)], [expected([1, 30, 3], 1)]]
    assert "errors" not in reply
    assert "quantiles" not in socket.ask(op="steps", sessions=names[:2], values=[1, 1], forecast=False)


def test_two_channels_in_a_column(socket, name):
    opened(socket, name, model="pair")
    reply = socket.ask(op="steps", sessions=[name], values=[[1, 2]], covariates={"rain": [5]})
    assert reply["quantiles"][0][1][0] == [7, 8]


BAD_FRAMES = {
    "an unknown operation": {"op": "stride", "ref": 1},
    "no operation": {"ref": 1},
    "an unknown field": {"op": "step", "ref": 1, "session": "x", "values": [1], "setp": 4},
    "a session that can be none": {"op": "step", "ref": 1, "session": "a b", "values": [1]},
    "true": {"op": "step", "ref": 1, "session": "x", "values": [True]},
    "text": {"op": "step", "ref": 1, "session": "x", "values": ["1"]},
    "infinity": {"op": "step", "ref": 1, "session": "x", "values": [1e39]},
    "columns of different lengths": {"op": "steps", "ref": 1, "sessions": ["x"], "values": [1, 2]},
    "a column without entries": {"op": "steps", "ref": 1, "sessions": ["x"], "values": [1], "steps": []},
    "a covariate without entries": {"op": "steps", "ref": 1, "sessions": ["x"], "values": [1], "covariates": {"t": []}},
    "a session with a line break": {"op": "steps", "ref": 1, "sessions": ["x\n"], "values": [1]},
    "an incarnation with a line break": {"op": "close", "ref": 1, "session": "x", "incarnation": f"{7:016x}\n"},
    "a list with a session that can be none": {"op": "steps", "ref": 1, "sessions": ["x", "a b"], "values": [1, 2]},
    "no list": {"op": "steps", "ref": 1, "sessions": {"x": 1}, "values": [1]},
    "a session twice": {"op": "steps", "ref": 1, "sessions": ["x", "x"], "values": [1, 2]},
    "a level outside": {"op": "peek", "ref": 1, "session": "x", "quantiles": [1.5]},
    "a bad start": {"op": "open", "ref": 1, "start": "noon"},
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_a_bad_frame_is_refused_by_its_ref_and_the_socket_lives(frame, socket, name):
    reply = socket.ask(**frame)
    assert (reply["op"], reply["ref"], reply["code"]) == ("error", 1, "invalid-request")
    assert reply["detail"]
    opened(socket, name)


@pytest.mark.parametrize("data", ["{", "", '"step"', "[" * 100_000, '{"op": "step", "session": "x", "values": [NaN]}'])
def test_what_is_no_frame_is_refused_and_the_socket_lives(data, server, name):
    with talk(server) as socket:
        socket.socket.send(data)
        assert socket.receive()["code"] == "invalid-request"
        opened(socket, name)


def test_nan_in_messagepack_is_refused(server, name):
    with talk(server, "tidegate.v1.msgpack") as socket:
        opened(socket, name)
        for value in (float("nan"), float("inf"), b"1"):
            assert socket.ask(op="step", session=name, values=[value])["code"] == "invalid-request"
        assert socket.ask(op="step", session=name, values=[1])["step"] == 1


def test_replies_of_one_session_come_in_order_refusals_among_them(socket, name):
    opened(socket, name)
    for i in range(1, 201):
        socket.send(op="step", ref=i, session=name, values=[True if i % 7 == 0 else 1], forecast=False)
    replies = [socket.receive() for _ in range(200)]
    assert [reply["ref"] for reply in replies] == list(range(1, 201))
    assert [reply["op"] for reply in replies] == ["error" if i % 7 == 0 else "stepped" for i in range(1, 201)]


def test_more_than_a_window_of_requests_are_all_answered(socket, name):
    opened(socket, name)
    for i in range(1, 301):
        socket.send(op="step", ref=i, session=name, values=[1], step=i, forecast=False)
    assert [socket.receive()["step"] for _ in range(300)] == list(range(1, 301))


def test_many_sessions_interleaved_never_mix(server, name):
    dice = random.Random(0)
    sent = {f"{name}-{i}": [] for i in range(40)}
    with talk(server) as left, talk(server, "tidegate.v1.msgpack") as right:
        for one in sent:
            opened(dice.choice([left, right]), one)
        for turn in range(25):
            both = {left: 0, right: 0}
            for one, values in sent.items():
                values.append(dice.randrange(100))
                socket = dice.choice([left, right])
                socket.send(op="step", ref=one, session=one, values=[values[-1]], step=turn + 1)
                both[socket] += 1
            for socket, count in both.items():
                for reply in (socket.receive() for _ in range(count)):
                    assert reply["session"] == reply["ref"]
                    assert median(reply) == expected(sent[reply["ref"]])


def test_a_session_outlives_its_socket(server, name):
    with talk(server) as socket:
        opened(socket, name, 1, 2)
    with talk(server) as socket:
        assert median(socket.ask(op="step", session=name, values=[3], step=3)) == expected([1, 2, 3])
    assert server.get(f"/v1/sessions/{name}").json()["step"] == 3


def test_who_subscribes_sees_every_step_whoever_sends_it(socket, server, name):
    opened(socket, name)
    assert socket.ask(op="subscribe", ref=1, session=name) == {"op": "subscribed", "ref": 1, "session": name}
    server.post(f"/v1/sessions/{name}/steps", {"values": [1, 2]})
    update = socket.receive()
    assert (update["op"], update["session"], update["step"]) == ("update", name, 2)
    assert median(update) == expected([1, 2])
    server.post(f"/v1/sessions/{name}/steps", {"values": [2], "step": 2})
    socket.send(op="steps", ref=2, sessions=[name], values=[3], forecast=False)
    assert [socket.receive()["op"], socket.receive()["op"]] == ["stepped", "update"]
    assert socket.ask(op="unsubscribe", ref=3, session=name)["op"] == "unsubscribed"
    server.post(f"/v1/sessions/{name}/steps", {"values": [4]})
    assert socket.ask(op="step", ref=4, session=name, values=[5])["ref"] == 4
    assert socket.ask(op="subscribe", session="never")["code"] == "session-not-found"


def test_a_failing_computation_fails_only_its_own_callers(server, name):
    with talk(server) as socket:
        opened(socket, name)
        opened(socket, f"{name}-other")
        assert socket.ask(op="step", session=name, values=[FATAL])["code"] == "internal"
        assert median(socket.ask(op="step", session=f"{name}-other", values=[1])) == expected([1])
        assert median(socket.ask(op="step", session=name, values=[2], step=1)) == expected([2])


def test_who_leaves_does_not_strand_the_others(server, name):
    with talk(server) as stays:
        names = [f"{name}-{i}" for i in range(10)]
        for one in names:
            opened(stays, one)
        for turn in range(1, 21):
            with talk(server) as leaves:
                leaves.send(op="steps", sessions=names[:5], values=[1] * 5)
            reply = stays.ask(op="steps", sessions=names[5:], values=[1] * 5, forecast=False)
            assert reply["step"] == [turn] * 5


def test_a_frame_that_is_too_big_ends_the_socket(server):
    with talk(server) as socket:
        socket.send(op="step", session="x", values=[1] * 600_000)
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
        assert closed.value.rcvd.code == 1009


def test_without_a_subprotocol_json_is_spoken_and_unknown_ones_are_refused(server):
    url = f"ws://127.0.0.1:{server.port}/v1/stream"
    with connect(url) as socket:
        socket.send('{"op": "peek", "session": "never"}')
        assert "session-not-found" in socket.recv(5)
    with pytest.raises(InvalidStatus) as refused, connect(url, subprotocols=["graphql-ws"]):
        pass
    assert refused.value.response.status_code == 422
    server.get("/health/live")  # by now the server has written what it had to say
    assert "without completing handshake" not in server.log.read_text()  # a client's mistake is no error of the server


def test_frames_in_pieces_are_put_together(server, name):
    with talk(server) as socket:
        text = f'{{"op": "open", "id": "{name}", "model": "sum"}}'
        socket.socket.send(itertools.chain([text[:10]], [text[10:]]))
        assert socket.receive()["op"] == "opened"
