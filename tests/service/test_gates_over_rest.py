"""A session's gates over REST, of a network that can be computed in one's head and of a real one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.service.test_rest import START, problem

NOON = 1_767_268_800


def opened(server, name, values, **more):
    assert server.post("/v1/sessions", {"id": name, "history": {"values": values}, **more}).status_code == 201
    return f"/v1/sessions/{name}/gates"


def test_gates_come_with_their_steps_and_what_follows_from_them(server, name):
    gates = opened(server, name, [0.5, 0.25, None, 0.5], model="sum", version="1", start=START)
    document = server.get(gates, limit=2).json()
    assert document == {
        "session": name,
        "replayed_from": 1,
        "step": [3, 4],
        "time": ["2026-01-01T14:00:00Z", "2026-01-01T15:00:00Z"],
        "layers": [
            {
                "channel": "y",
                "layer": 1,
                "update_gate": [[0, 0], [0.5, 0.5]],
                "reset_gate": [[0, 0], [0.5, 0.5]],
                "memory_steps": document["layers"][0]["memory_steps"],
                "past_share": [0, 0.5],
            }
        ],
    }
    assert 0 < document["layers"][0]["memory_steps"][0] < 1  # a closed gate forgot all
    server.post(f"/v1/sessions/{name}/steps", {"values": [0.25]})
    (layer,) = server.get(gates, limit=2).json()["layers"]
    assert layer["memory_steps"] == pytest.approx([-2 / math.log(0.125)] * 2, abs=1e-4)
    assert layer["past_share"] == [0.125, 0.25]


def test_a_session_without_steps_has_no_gates_yet(server, name):
    server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1"})
    document = server.get(f"/v1/sessions/{name}/gates").json()
    assert (document["step"], document["layers"][0]["update_gate"]) == ([], [])
    assert document["layers"][0]["memory_steps"] == [None, None]


def test_gates_of_two_channels_are_told_apart(server, name):
    gates = opened(server, name, [[0.1, 0.9], [0.2, None]], model="pair", start=START)
    layers = {one["channel"]: one["update_gate"] for one in server.get(gates).json()["layers"]}
    assert layers == {"in": [[0.1, 0.1], [0.2, 0.2]], "out": [[0.9, 0.9], [0, 0]]}


def test_gates_that_cannot_be_had_are_refused(server, name):
    problem(server.get(f"/v1/sessions/{name}/gates"), 404, "session-not-found")
    opened(server, name, [1], model="sum", version="1")
    for query in ({"limit": 0}, {"limit": 1001}, {"limit": "all"}, {"last": 3}):
        problem(server.get(f"/v1/sessions/{name}/gates", **query), 422, "invalid-request")


def test_the_gates_of_a_real_forecaster_lie_between_0_and_1_and_keep_the_equations(forecaster_server, name):
    values = [100 + 50 * math.sin(t / 4) for t in range(100)]
    document = forecaster_server.get(opened(forecaster_server, name, values, start=NOON), limit=20).json()
    (layer,) = document["layers"]
    update, reset = np.array(layer["update_gate"]), np.array(layer["reset_gate"])
    assert update.shape == reset.shape == (20, 8)
    assert ((update > 0) & (update < 1)).all()
    assert ((reset > 0) & (reset < 1)).all()
    assert np.ptp(update, axis=0).max() > 0.01  # it does something
    assert document["step"] == list(range(81, 101))
    assert document["replayed_from"] == 100 - 64 + 1  # it remembers 64 observations
    np.testing.assert_allclose(layer["memory_steps"], -1 / np.log(update).mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(layer["past_share"], np.cumprod(update[::-1], axis=0)[::-1].mean(axis=1), atol=2e-3)


def test_replayed_gates_are_the_sessions_own_where_nothing_is_older(forecaster_server, name):
    """A session of 30 steps remembers all of them; the same observations at the end of a longer one come close."""
    values = [100 + 50 * math.sin(t / 4) for t in range(200)]
    whole = forecaster_server.get(opened(forecaster_server, name, values[-30:], start=NOON)).json()
    assert (whole["replayed_from"], len(whole["step"])) == (1, 30)
    earlier = NOON - 170 * 3600
    later = forecaster_server.get(opened(forecaster_server, f"{name}-b", values, start=earlier), limit=30).json()
    assert later["time"] == whole["time"]
    assert later["layers"][0]["update_gate"] != whole["layers"][0]["update_gate"]
