"""Surprises and calibration on the wire."""

from __future__ import annotations

import re

import pytest

from tests.bundles import surprises
from tests.service.lab import talk

START = "2026-01-01T12:00:00Z"
SERIES = [5, None, 7, 100, 3]
TOLD = [None if s != s else pytest.approx(s, rel=1e-6) for s in surprises(SERIES)]  # noqa: PLR0124 - NaN is not itself


def test_over_rest_every_observation_has_its_surprise(server, name):
    server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1", "start": START})
    reply = server.post(f"/v1/sessions/{name}/steps", {"values": SERIES}).json()
    assert reply["surprise"] == TOLD


def test_a_session_reports_its_calibration(server, name):
    server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1", "start": START})
    empty = server.get(f"/v1/sessions/{name}").json()["calibration"]
    assert (empty["target"], empty["empirical"], empty["n"]) == (0.8, None, 0)
    server.post(f"/v1/sessions/{name}/steps", {"values": SERIES})
    calibration = server.get(f"/v1/sessions/{name}").json()["calibration"]
    assert calibration == {
        "lower": 0.1,
        "upper": 0.9,
        "target": 0.8,
        "empirical": pytest.approx(1 / 3),
        "n": 3,
        "buckets": [{"first": 1, "last": 3, "empirical": pytest.approx(1 / 3), "n": 3}],
    }


@pytest.mark.parametrize("subprotocol", ["tidegate.v1.json", "tidegate.v1.msgpack"])
def test_frames_have_surprises_alone_and_in_columns(server, name, subprotocol):
    with talk(server, subprotocol) as socket:
        for one in ("a", "b"):
            socket.ask(op="open", id=f"{name}{one}", model="sum", version="1", start=START)
        assert socket.ask(op="step", session=f"{name}a", values=SERIES)["surprise"] == TOLD
        sessions = [f"{name}a", f"{name}b", f"{name}nobody"]
        reply = socket.ask(op="steps", sessions=sessions, values=[1, 1, 1])
        assert reply["surprise"] == [pytest.approx(surprises([*SERIES, 1])[-1], rel=1e-6), None, None]


def test_channels_are_lists(server, name):
    server.post("/v1/sessions", {"id": name, "model": "pair", "start": START})
    server.post(f"/v1/sessions/{name}/steps", {"values": [[1, 10]]})
    reply = server.post(f"/v1/sessions/{name}/steps", {"values": [[2, None]]}).json()
    assert reply["surprise"] == [[pytest.approx(surprises([1, 2])[1], rel=1e-6), None]]
    with talk(server) as socket:
        columns = socket.ask(op="steps", sessions=[name, f"{name}nobody"], values=[[3, 4], [3, 4]])
        assert len(columns["surprise"][0]) == 2
        assert columns["surprise"][1] is None


def test_metrics_tell_how_the_bands_of_a_model_did(server, name):
    def gauge(what):
        (line,) = re.findall(
            rf'^tidegate_band_{what}{{model="long/1"}} (.+)$', server.get("/metrics").text, re.MULTILINE
        )
        return float(line)

    assert gauge("target") == pytest.approx(0.8)
    before = gauge("forecasts")
    server.post("/v1/sessions", {"id": name, "model": "long", "start": START})
    server.post(f"/v1/sessions/{name}/steps", {"values": SERIES})
    assert gauge("forecasts") == before + 3
    assert 0 < gauge("coverage") < 1
