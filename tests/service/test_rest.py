"""The REST surface: what is asked is answered, what cannot be done is a problem document, and no session moves by it."""

from __future__ import annotations

import pytest

from tests.bundles import expected

START = "2026-01-01T12:00:00Z"
NOON = 1_767_268_800


@pytest.fixture
def session(server, name):
    """An open session of three observations, 1, 2 and 3."""
    body = {"id": name, "model": "sum", "version": "1", "start": START, "history": {"values": [1, 2, 3]}}
    assert server.post("/v1/sessions", body).status_code == 201
    return f"/v1/sessions/{name}"


def median(document) -> list[float]:
    return document["forecast"]["quantiles"]["0.5"]


def problem(answer, status, code):
    """The problem document, which is as RFC 9457 and API.md want it."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code)
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["title"]
    assert document["detail"]
    assert len(document.get("errors", [])) <= 10
    assert len(answer.content) < 2000
    return document


def test_a_session_is_opened_with_its_history_and_forecasts_at_once(server, name):
    body = {"id": name, "model": "sum", "version": "1", "start": START, "history": {"values": [1, None, 3]}}
    body["metadata"] = {"site": "A 7"}
    answer = server.post("/v1/sessions", body)
    document = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{name}"
    assert (document["id"], document["step"], document["next_time"]) == (name, 3, "2026-01-01T15:00:00Z")
    assert document["model"] == {"name": "sum", "version": "1"}
    assert document["metadata"] == {"site": "A 7"}
    assert document["forecast"]["start"] == "2026-01-01T15:00:00Z"
    assert document["forecast"]["horizon"] == 3
    assert median(document) == expected([1, None, 3])


def test_a_step_is_answered_with_the_forecast_after_it(server, session):
    document = server.post(f"{session}/steps", {"values": [4], "step": 4}).json()
    assert (document["step"], document["time"], document["applied"], document["replayed"]) == (
        4,
        "2026-01-01T15:00:00Z",
        1,
        False,
    )
    assert median(document) == expected([1, 2, 3, 4])


def test_a_forecast_is_given_where_and_as_it_is_wanted(server, session):
    assert "forecast" not in server.post(f"{session}/steps", {"values": [4], "forecast": False}).json()
    wish = {"horizon": 2, "quantiles": [0.3, 0.5]}
    document = server.post(f"{session}/steps", {"values": [5, 6], "forecast": wish}).json()
    quantiles = document["forecast"]["quantiles"]
    assert document["forecast"]["horizon"] == 2
    assert quantiles["0.5"] == expected([1, 2, 3, 4, 5, 6], 2)
    assert quantiles["0.3"] == pytest.approx(expected([1, 2, 3, 4, 5, 6], 2, 0.3))


def test_the_identity_of_a_step_is_its_place(server, session):
    steps = f"{session}/steps"
    first = server.post(steps, {"values": [4], "step": 4}).json()
    again = server.post(steps, {"values": [4], "step": 4}).json()
    assert again == first | {"replayed": True, "applied": 0}
    older = server.post(steps, {"values": [2], "time": "2026-01-01T13:00:00Z"}).json()
    assert (older["replayed"], older["step"], "forecast" in older) == (True, 2, False)
    problem(server.post(steps, {"values": [9], "step": 4}), 409, "step-conflict")
    gap = problem(server.post(steps, {"values": [9], "step": 7}), 409, "step-gap")
    assert (gap["expected_step"], gap["expected_time"]) == (5, "2026-01-01T16:00:00Z")
    off = problem(server.post(steps, {"values": [9], "time": "2026-01-01T16:10:00Z"}), 422, "off-grid")
    assert off["nearest"] == "2026-01-01T16:00:00Z"
    unnumbered = server.post(steps, {"values": [5]}).json()
    assert (unnumbered["step"], unnumbered["applied"]) == (5, 1)
    resumed = server.post(steps, {"values": [5, 6, 7], "time": NOON + 4 * 3600}).json()
    assert (resumed["step"], resumed["applied"], resumed["replayed"]) == (7, 2, False)
    assert median(resumed) == expected([1, 2, 3, 4, 5, 6, 7])


def test_a_gap_is_filled_where_the_session_wants_it(server, name):
    server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1", "start": START, "on_gap": "missing"})
    document = server.post(f"/v1/sessions/{name}/steps", {"values": [5], "step": 3}).json()
    assert (document["filled"], document["applied"]) == (2, 1)
    assert median(document) == expected([None, None, 5])


def test_a_time_before_all_that_may_be_sent_is_named(server, name):
    assert server.post("/v1/sessions", {"id": name, "model": "sum", "start": "0001-01-01T00:59:00Z"}).status_code == 201
    answer = server.post(f"/v1/sessions/{name}/steps", {"values": [1], "time": "0001-01-01T00:00:00Z"})
    assert problem(answer, 422, "off-grid")["nearest"] == "0000-12-31T23:59:00Z"


def test_looking_ahead_does_not_move_a_session(server, session):
    ahead = server.get(f"{session}/forecast", horizon=2, quantiles="0.1,0.5").json()
    assert list(ahead["quantiles"]) == ["0.1", "0.5"]
    assert ahead["quantiles"]["0.5"] == expected([1, 2, 3], 2)
    what_if = server.post(f"{session}/forecast", {"values": [10, None]}).json()
    assert what_if["quantiles"]["0.5"] == expected([1, 2, 3, 10, None])
    assert what_if["start"] == "2026-01-01T17:00:00Z"
    assert server.get(session).json()["step"] == 3


def test_history_shows_recent_observations_with_their_times(server, session):
    server.post(f"{session}/steps", {"values": [None]})
    assert server.get(f"{session}/history", limit=2).json()["values"] == [3, None]
    document = server.get(f"{session}/history").json()
    assert document["step"] == [1, 2, 3, 4]
    assert document["time"][-1] == "2026-01-01T15:00:00Z"


def test_sessions_are_listed_in_pages(server, name):
    for i in range(5):
        server.post("/v1/sessions", {"id": f"{name}-{i}", "model": "sum"})
    first = server.get("/v1/sessions", prefix=f"{name}-", limit=3).json()
    assert [one["id"] for one in first["sessions"]] == [f"{name}-{i}" for i in range(3)]
    second = server.get("/v1/sessions", prefix=f"{name}-", limit=3, cursor=first["next_cursor"]).json()
    assert [one["id"] for one in second["sessions"]] == [f"{name}-{i}" for i in range(3, 5)]
    assert second["next_cursor"] is None


def test_a_session_that_exists_is_kept_or_returned(server, session, name):
    problem(server.post("/v1/sessions", {"id": name}), 409, "session-exists")
    answer = server.post("/v1/sessions", {"id": name, "if_exists": "return"})
    assert (answer.status_code, answer.json()["step"]) == (200, 3)
    problem(server.post("/v1/sessions", {"id": name, "if_exists": "return", "version": "2"}), 412, "model-mismatch")


def test_a_closed_session_is_gone_and_says_when(server, session):
    assert server.http.delete(session).status_code == 204
    for answer in (server.get(session), server.post(f"{session}/steps", {"values": [4]}), server.http.delete(session)):
        document = problem(answer, 410, "session-gone")
        assert document["reason"] == "closed"
        assert document["at"].endswith("Z")


def test_what_does_not_exist_is_said_so(server):
    problem(server.get("/v1/sessions/never"), 404, "session-not-found")
    problem(server.get("/v1/sessions/%00"), 404, "session-not-found")
    problem(server.get("/v1/models/never"), 404, "model-not-found")
    problem(server.post("/v1/forecast", {"model": "never", "series": [{"values": [1]}]}), 404, "model-not-found")
    problem(server.get("/v1/never"), 404, "not-found")
    answer = server.http.put("/v1/sessions/never")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD"


def test_series_of_any_lengths_are_forecast_and_nothing_is_kept(server):
    series = [{"id": "x", "start": START, "values": [1, 2]}, {"start": NOON, "values": [7]}]
    series.append({"start": START, "values": [3, 4]})
    before = server.get("/v1/info").json()["sessions"]
    document = server.post("/v1/forecast", {"model": "sum", "version": "1", "series": series, "horizon": 2}).json()
    assert document["model"] == {"name": "sum", "version": "1"}
    assert [one["quantiles"]["0.5"] for one in document["forecasts"]] == [
        expected([1, 2], 2),
        expected([7], 2),
        expected([3, 4], 2),
    ]
    assert document["forecasts"][0]["id"] == "x"
    assert "id" not in document["forecasts"][1]
    assert server.get("/v1/info").json()["sessions"] == before


def test_two_channels_and_covariates(server, name):
    body = {"id": name, "model": "pair", "start": START}
    body["history"] = {"values": [[1, 10], [2, None]], "covariates": {"rain": [1, 1]}}
    document = server.post("/v1/sessions", body).json()
    assert document["forecast"]["quantiles"]["0.5"][0] == [1 + 2 * 2 + 2 + 1, 10 + 2 + 1]
    wish = {"future_covariates": {"holiday": [100]}}
    step = {"values": [[3, 4]], "covariates": {"rain": [5]}, "forecast": wish}
    document = server.post(f"/v1/sessions/{name}/steps", step).json()
    assert median(document)[0] == [1 + 4 + 9 + 7 + 1 + 100, 10 + 12 + 7 + 1 + 100]
    problem(server.post(f"/v1/sessions/{name}/steps", {"values": [3]}), 422, "invalid-request")
    assert server.get(f"/v1/sessions/{name}/history").json()["values"] == [[1, 10], [2, None], [3, 4]]


BAD_BODIES = {
    "not JSON": b"{",
    "empty": b"",
    "not an object": b"[1]",
    "not UTF-8": b'{"values": ["\xff"]}',
    "an unknown field": b'{"values": [1], "setp": 4}',
    "NaN": b'{"values": [NaN]}',
    "infinity": b'{"values": [Infinity]}',
    "a number beyond all": b'{"values": [1e400]}',
    "a number beyond float32": b'{"values": [1e39]}',
    "a huge whole number": b'{"values": [' + b"9" * 400 + b"]}",
    "true": b'{"values": [true]}',
    "text": b'{"values": ["1"]}',
    "an object for a number": b'{"values": [{}]}',
    "no values": b'{"values": []}',
    "values missing": b"{}",
    "two channels": b'{"values": [[1, 2]]}',
    "ragged channels": b'{"values": [[1], [1, 2]]}',
    "nested too deeply": b'{"values": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a list in a list in a list": b'{"values": [[[1]]]}',
    "step zero": b'{"values": [1], "step": 0}',
    "a step that is true": b'{"values": [1], "step": true}',
    "half a step": b'{"values": [1], "step": 1.5}',
    "time without offset": b'{"values": [1], "time": "2026-01-01T12:00:00"}',
    "a time that is none": b'{"values": [1], "time": "noon"}',
    "a time beyond all": b'{"values": [1], "time": 99999999999999999}',
    "step and time that differ": b'{"values": [1], "step": 4, "time": "2026-01-01T12:00:00Z"}',
    "an unknown covariate": b'{"values": [1], "covariates": {"rain": [1]}}',
    "a horizon too long": b'{"values": [1], "forecast": {"horizon": 99}}',
    "a level outside": b'{"values": [1], "forecast": {"quantiles": [0.99]}}',
    "a level twice": b'{"values": [1], "forecast": {"quantiles": [0.5, 0.5]}}',
    "an unknown wish": b'{"values": [1], "forecast": {"levels": [0.5]}}',
    "a forecast that is text": b'{"values": [1], "forecast": "yes"}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_body_is_refused_and_the_session_stays(body, server, session):
    problem(server.post(f"{session}/steps", content=body), 422, "invalid-request")
    assert median(server.post(f"{session}/steps", {"values": [4]}).json()) == expected([1, 2, 3, 4])


def test_a_problem_points_at_the_place(server, session):
    document = problem(server.post(f"{session}/steps", {"values": [1, True]}), 422, "invalid-request")
    assert document["errors"][0]["pointer"] == "/values/1"
    body = {"series": [{"values": [1]}, {"values": [1], "start": "never"}]}
    document = problem(server.post("/v1/forecast", body), 422, "invalid-request")
    assert document["errors"][0]["pointer"] == "/series/1/start"
    body = {"series": [{"values": [1]}, {"values": 5}]}
    document = problem(server.post("/v1/forecast", body), 422, "invalid-request")
    assert document["errors"][0]["pointer"].startswith("/series/")


def test_a_bad_opening_opens_nothing(server, name):
    bad = [
        {"id": "no spaces"},
        {"id": "x" * 129},
        {"id": f"{name}\n"},
        {"id": name, "start": "yesterday"},
        {"id": name, "on_gap": "skip"},
        {"id": name, "metadata": {"x": "y" * 20_000}},
        {"id": name, "history": {"values": [1, "2"]}},
        {"id": name, "tenant": "x"},
    ]
    for body in bad:
        problem(server.post("/v1/sessions", body), 422, "invalid-request")
    problem(server.get(f"/v1/sessions/{name}"), 404, "session-not-found")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limt=3", "cursor=%20", "cursor=a%0A", "prefix=/", "prefix=a%0A"]
)
def test_a_bad_query_is_refused(query, server):
    problem(server.get(f"/v1/sessions?{query}"), 422, "invalid-request")


@pytest.mark.parametrize("query", ["quantiles=", "quantiles=a", "quantiles=1", "quantiles=nan", "horizon=0"])
def test_a_bad_wish_in_a_query_is_refused(query, server, session):
    problem(server.get(f"{session}/forecast?{query}"), 422, "invalid-request")


def test_a_caller_finds_its_own_request_id_again(server):
    answer = server.http.get("/v1/sessions/never", headers={"x-request-id": "mine-1"})
    assert answer.json()["request_id"] == "mine-1"
    answer = server.http.get("/v1/sessions/never", headers={"x-request-id": "no<script>"})
    assert answer.json()["request_id"] != "no<script>"
