"""The alerting example finds what does not belong into a series, tells of it once, and survives interruptions."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from examples.alert import Rule
from tests.service.alerts import EXPECTED, REMEMBERED, STRANGE, grid, hours, newest, step, table, told, watching
from tests.service.lab import ROOT, free_port, serving
from tests.service.test_resuming import Cutter


@pytest.fixture
def webhook():
    """The alarms that were posted to an address."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            """The test's output is not the place for it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/alarms", posted
        server.shutdown()


def test_after_an_alarm_there_is_silence_for_a_while():
    rule = Rule(strength=7.5, quiet_seconds=100, silent_until=50)
    usual, strange = [0.9, 0.4, 0.2, 0.6], 1e-9
    alarms = []
    for moment in range(300):
        strength = rule.judge(moment, strange if moment in {40, 60, 61, 150, 170} else usual[moment % 4])
        assert strength == 0 or strength >= 7.5
        alarms += [moment] if strength else []
    assert alarms == [60, 170]


def test_a_series_that_often_surprises_must_surprise_more():
    calm, wild = (Rule(strength=7.5, quiet_seconds=0, silent_until=0) for _ in range(2))
    for moment in range(1000):
        calm.judge(moment, 0.4)
        wild.judge(moment, 1e-3 if moment % 5 == 0 else 0.4)
    assert calm.judge(1000, 1e-5) > 7.5
    assert wild.judge(1000, 1e-5) == 0


def test_what_was_judged_already_does_not_count_again():
    rule = Rule(strength=7.5, quiet_seconds=0, silent_until=0)
    assert rule.judge(10, 1e-9) > 7.5
    before = rule.learned()
    assert rule.judge(10, 1e-9) == rule.judge(9, 1e-9) == 0
    assert rule.learned() == before


def test_strength_is_the_distance_of_a_score_from_those_before_it_and_300_usual_ones():
    rule = Rule(strength=0, quiet_seconds=0, silent_until=0)
    scores = [0.5, 2, 0.05, 4]
    for moment, score in enumerate(scores):
        rule.judge(moment, 10**-score)
    mean = (300 * 0.4343 + sum(scores)) / 304
    variance = (300 * (0.4343**2 + (0.4343 - mean) ** 2) + sum((score - mean) ** 2 for score in scores)) / 304
    assert rule.judge(4, 1e-12) == pytest.approx((12 - mean) / variance**0.5, rel=1e-3)


def test_an_impossible_observation_is_an_alarm():
    assert Rule(strength=7.5, quiet_seconds=0, silent_until=0).judge(0, 0.0) > 50


def test_an_injected_anomaly_is_told_once_and_posted(metro, name, traffic, webhook):
    url, posted = webhook
    with watching(metro.port, "--session", name, "--webhook", url) as process:
        output, _ = process.communicate(table(traffic), timeout=90)
    lines = output.splitlines()
    alarms = [line.split()[0] for line in lines]
    assert alarms.count(EXPECTED) == 1
    assert len([moment for moment in alarms if moment.startswith("2018-05-16")]) == 1
    assert len(alarms) <= 4
    assert [alarm["time"] for alarm in posted] == alarms
    (alarm,) = (alarm for alarm in posted if alarm["time"] == EXPECTED)
    assert (alarm["session"], alarm["value"], alarm["step"]) == (name, 300.0, 15 * 24 + 14)
    assert alarm["surprise"] < 1e-3
    assert alarm["strength"] > 7.5
    values = f"300  surprise {alarm['surprise']:.1e}  strength {alarm['strength']}"
    assert f"{EXPECTED}  {name}  {values}" in lines
    assert step(metro, name) == hours(traffic)


def test_without_the_anomaly_there_is_no_alarm_on_its_day(metro, name, traffic):
    rows = [row for row in traffic if row[0] not in STRANGE]
    with watching(metro.port, "--session", name) as process:
        alarms = told(process, table(rows))
    assert not [moment for moment in alarms if moment.startswith("2018-05-16")]


def test_a_column_of_names_makes_sessions(metro, name, traffic):
    rows = [(moment, value, f"{name}-{one}") for moment, value in traffic[:400] for one in "ab"]
    quiet = [(m, v if one.endswith("a") or m not in STRANGE else "", one) for m, v, one in rows]
    with watching(metro.port, "--series", "meter") as process:
        output, _ = process.communicate(table(quiet, "time", "value", "meter"), timeout=90)
    assert [line.split()[:2] for line in output.splitlines() if EXPECTED in line] == [[EXPECTED, f"{name}-a"]]
    assert step(metro, f"{name}-a") == step(metro, f"{name}-b") == hours(traffic[:400])


def test_a_connection_that_breaks_changes_nothing(metro, name, traffic):
    rows = traffic[:400]
    cutter = Cutter(metro.port, most_bytes=13_007)
    cutter.start()
    try:
        with watching(cutter.port, "--session", name) as process:
            assert told(process, table(rows)).count(EXPECTED) == 1
    finally:
        cutter.close()
    assert cutter.cuts >= 2
    assert step(metro, name) == hours(rows)
    assert newest(metro, name) == grid(rows)[-REMEMBERED:]


def test_a_restart_of_the_server_changes_nothing(tmp_path, traffic):
    settings = {"port": free_port(), "data_dir": tmp_path / "data"}
    before, after = traffic[:380], traffic[380:500]
    with serving(ROOT / "models", tmp_path, **settings) as first, watching(first.port) as process:
        process.stdin.write(table(before))
        process.stdin.flush()
        assert any(line.split()[0] == EXPECTED for line in process.stdout)
        first.process.kill()
        first.process.wait(30)
        time.sleep(0.5)
        with serving(ROOT / "models", tmp_path, **settings) as second:
            assert EXPECTED not in told(process, "".join(f"{moment},{value}\n" for moment, value in after))
            assert step(second, "watched") == hours(before + after)
            assert newest(second, "watched") == grid(before + after)[-REMEMBERED:]


def test_a_server_that_is_busy_is_asked_again(tmp_path, traffic):
    rows, much = traffic[:5], b'{"series": [{"values": [' + b"1, " * 300_000 + b"1]}]}"
    with (
        serving(ROOT / "models", tmp_path, store="memory", queue_limit=1, max_wait_seconds=60) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        long = pool.submit(httpx.post, f"{server.url}/v1/forecast", content=much, timeout=60)
        while "tidegate_queue_depth 1.0" not in server.get("/metrics").text:
            assert not long.done()
        with watching(server.port) as process:
            assert told(process, table(rows)) == []
        assert 'call="open",code="overloaded",surface="websocket"' in server.get("/metrics").text
        assert newest(server, "watched") == grid(rows)


def test_a_server_that_forgot_its_sessions_is_given_new_ones(tmp_path, traffic):
    settings = {"port": free_port(), "store": "memory"}
    before, after = traffic[:20], traffic[20:30]
    with serving(ROOT / "models", tmp_path, **settings) as first, watching(first.port) as process:
        process.stdin.write(table(before))
        process.stdin.flush()
        while step(first, "watched") < hours(before):
            time.sleep(0.02)
        first.process.kill()
        first.process.wait(30)
        with serving(ROOT / "models", tmp_path, **settings) as second:
            told(process, "".join(f"{moment},{value}\n" for moment, value in after))
            assert newest(second, "watched") == grid(after)


def test_the_program_started_again_goes_on_where_it_was(metro, name, traffic):
    sent = []
    for rows in (traffic[:380], traffic):
        before = steps_asked(metro)
        with watching(metro.port, "--session", name) as process:
            alarms = told(process, table(rows))
        assert alarms.count(EXPECTED) == (1 if rows is not traffic else 0)
        sent.append(steps_asked(metro) - before)
    assert step(metro, name) == hours(traffic)
    assert sent == [380, len(traffic) - 379]  # the last one of the first run once more


def steps_asked(server) -> int:
    """How many single steps were answered over WebSockets."""
    line = r'^tidegate_requests_total\{call="step",code="ok",surface="websocket"\} (\S+)$'
    return sum(int(float(found)) for found in re.findall(line, server.get("/metrics").text, re.MULTILINE))


def test_an_observation_whose_answer_nobody_read_is_judged_when_the_program_starts_again(metro, name, traffic):
    strange = next(n for n, (moment, _) in enumerate(traffic) if EXPECTED.startswith(moment.replace(" ", "T")))
    with watching(metro.port, "--session", name) as process:
        assert EXPECTED not in told(process, table(traffic[:strange]))
    metro.post(f"/v1/sessions/{name}/steps", {"values": [300], "time": EXPECTED}).raise_for_status()
    with watching(metro.port, "--session", name) as process:
        assert told(process, table(traffic[: strange + 1])) == [EXPECTED]


def test_what_it_cannot_do_it_says(metro, name):
    with watching(metro.port, "--value", "load") as process:
        _, errors = process.communicate(table([]), timeout=30)
    assert "no column 'load' in ['time', 'value']" in errors
    with watching(metro.port, "--model", "nobody") as process:
        _, errors = process.communicate(table([("0", "1")]), timeout=30)
    assert "no session for watched: model-not-found" in errors
    with watching(metro.port, "--session", name) as process:
        _, errors = process.communicate(table([("3600", "1"), ("3601", "1"), ("7200", "1")]), timeout=30)
    assert "off-grid" in errors
    assert step(metro, name) == 2


def test_a_file_is_read_whether_it_is_compressed_or_not(metro, name, traffic, tmp_path):
    plain, packed = tmp_path / "traffic.csv", tmp_path / "traffic.csv.gz"
    plain.write_text(table(traffic[:400]))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for source in (plain, packed):
        with watching(metro.port, "--session", f"{name}-{source.suffix}", source=source) as process:
            assert told(process, None).count(EXPECTED) == 1
    assert newest(metro, f"{name}-.gz") == newest(metro, f"{name}-.csv") == grid(traffic[:400])[-REMEMBERED:]


def test_times_have_a_zone_or_are_utc_and_values_may_be_missing(metro, name):
    rows = [("2018-05-01T02:00:00+02:00", "1"), ("2018-05-01 01:00", " "), ("1525143600", "3")]
    with watching(metro.port, "--session", name, "--time", "when", "--value", "load") as process:
        assert told(process, table(rows, "when", "load")) == []
    found = metro.get(f"/v1/sessions/{name}").json()
    assert (found["start"], found["next_time"]) == ("2018-05-01T00:00:00Z", "2018-05-01T04:00:00Z")
    assert newest(metro, name) == [1, None, None, 3]


@pytest.mark.parametrize(
    ("options", "hours_of_the_day"),
    [
        ((), [13]),
        (("--quiet", "1"), [13, 15]),
        (("--quiet", "3"), [13]),
        (("--warm-up", "374"), [15]),
        (("--warm-up", "376"), []),
        (("--strength", "1000"), []),
    ],
)
def test_alarms_come_as_the_user_chooses(metro, name, traffic, options, hours_of_the_day):
    with watching(metro.port, "--session", name, *options) as process:
        alarms = told(process, table(traffic[:400]))
    assert [int(alarm[11:13]) for alarm in alarms if alarm[:10] == EXPECTED[:10]] == hours_of_the_day


def test_a_webhook_that_is_not_there_is_told_and_stops_nothing(metro, name, traffic):
    address = f"http://127.0.0.1:{free_port()}/alarms"
    with watching(metro.port, "--session", name, "--webhook", address) as process:
        output, errors = process.communicate(table(traffic[:400]), timeout=90)
    assert EXPECTED in output
    assert f"{address} did not take {EXPECTED}  {name}  300" in errors
    assert step(metro, name) == hours(traffic[:400])
