"""The alerting example finds what does not belong into a series, tells of it once, and survives interruptions."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from examples.alert import Rule
from tests.service.lab import ROOT, free_port, serving
from tests.service.test_resuming import Cutter

TRAFFIC = ROOT / "data/metro_traffic/metro_traffic.csv.gz"
FIRST, LAST = "2018-05-01 00:00", "2018-06-10 00:00"
STRANGE = {"2018-05-16 13:00": "300", "2018-05-16 15:00": "200"}  # a lane's closure on a Wednesday afternoon
EXPECTED = "2018-05-16T13:00:00Z"
REMEMBERED = 330  # observations to compare


@pytest.fixture(scope="module")
def metro(tmp_path_factory):
    """A server of the model that ships with the repository."""
    with serving(ROOT / "models", tmp_path_factory.mktemp("metro"), store="memory") as running:
        yield running


@pytest.fixture(scope="module")
def traffic():
    """Hours of the shipped data as rows of time and value, with two strange ones among them."""
    with gzip.open(TRAFFIC, "rt", encoding="utf-8") as lines:
        rows = [line.split(",")[:2] for line in lines if FIRST <= line[:16] < LAST]
    return [(moment, STRANGE.get(moment, value)) for moment, value in rows]


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


@contextmanager
def watching(port, *options):
    """The example in a process of its own, fed through its standard input."""
    command = [sys.executable, "-u", ROOT / "examples/alert.py", "-", "--url", f"http://127.0.0.1:{port}", *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=os.environ, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def table(rows, *head) -> str:
    return "\n".join(",".join(row) for row in [head or ("time", "value"), *rows]) + "\n"


def told(process, text) -> list[str]:
    """The alarms' times after a feed has ended."""
    output, _ = process.communicate(text, timeout=90)
    assert process.returncode == 0
    return [line.split()[0] for line in output.splitlines()]


def step(server, name) -> int:
    return server.get(f"/v1/sessions/{name}").json()["step"]


def newest(server, name) -> list[float | None]:
    return server.get(f"/v1/sessions/{name}/history", limit=REMEMBERED).json()["values"]


def grid(rows) -> list[float | None]:
    """The values hour by hour, None where a row is absent."""
    found = {datetime.fromisoformat(moment): float(value) for moment, value in rows}
    first, last = min(found), max(found)
    return [found.get(first + timedelta(hours=n)) for n in range(round((last - first) / timedelta(hours=1)) + 1)]


def hours(rows) -> int:
    return len(grid(rows))


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


def test_an_injected_anomaly_is_told_once_and_posted(metro, name, traffic, webhook):
    url, posted = webhook
    with watching(metro.port, "--session", name, "--webhook", url) as process:
        alarms = told(process, table(traffic))
    assert alarms.count(EXPECTED) == 1
    assert len([moment for moment in alarms if moment.startswith("2018-05-16")]) == 1
    assert len(alarms) <= 4
    assert [alarm["time"] for alarm in posted] == alarms
    (alarm,) = (alarm for alarm in posted if alarm["time"] == EXPECTED)
    assert (alarm["session"], alarm["value"], alarm["step"]) == (name, 300.0, 15 * 24 + 14)
    assert alarm["surprise"] < 1e-3
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


def test_the_program_started_again_goes_on_where_it_was(metro, name, traffic):
    for rows in (traffic[:380], traffic):
        with watching(metro.port, "--session", name) as process:
            alarms = told(process, table(rows))
        assert alarms.count(EXPECTED) == (1 if rows is not traffic else 0)
    assert step(metro, name) == hours(traffic)


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
