"""The demo as a person runs it: a program that serves, streams, shows its scores and leaves nothing behind."""

from __future__ import annotations

import gzip
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from tests.service.lab import ROOT

DATA = ROOT / "data/metro_traffic/metro_traffic.csv.gz"
BEGIN, END = "2018-02-15", "2018-05-20"
HOURS = 19 * 24  # of May that are in the short data


@pytest.fixture
def data(tmp_path):
    """The shipped data of some weeks before the held-out months and the first weeks of these."""
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        heading, *rows = lines
    path = tmp_path / "some_weeks.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as shortened:
        shortened.writelines([heading, *(row for row in rows if BEGIN <= row < END)])
    return path


@contextmanager
def demo(*options):
    port = _free_port()
    command = [sys.executable, "-m", "app", "demo", "--port", str(port), *map(str, options)]
    program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    program.port = port
    try:
        yield program
    finally:
        program.terminate()
        program.communicate(timeout=20)


def until_ready(program) -> None:
    for _ in range(600):
        if is_served(program.port):
            return
        time.sleep(0.05)
    raise AssertionError("the demo's server was never ready")


def is_served(port) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_it_shows_how_much_better_it_forecasts_and_prints_three_commands_that_work(data):
    with demo("--data", data) as program:
        said = []
        for line in program.stdout:
            said.append(line)
            if "until Ctrl-C" in line:
                break
        shown = "".join(said)
        row = re.search(r"^demo-2018-05 +(\d+) +([\d.]+) +([\d.]+) +(\d+)% +(\d+)% +(\d+)%", shown, re.MULTILINE)
        hours, ours, naive, better = int(row[1]), float(row[2]), float(row[3]), int(row[4])
        assert hours == HOURS
        assert better == pytest.approx(100 * (1 - ours / naive), abs=2)
        assert better > 20
        assert re.search(r"[1-9]\d* steps/s", shown)
        curls = [line for line in said if line.startswith("curl")]
        assert len(curls) == 3
        for line in curls:
            answer = subprocess.run([*shlex.split(line), "--fail"], capture_output=True, text=True, check=True).stdout
            assert '"quantiles":' in answer
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0
        assert not is_served(program.port)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_mid_stream_ends_it_and_its_server_without_a_traceback(number, code):
    with demo() as program:
        until_ready(program)
        program.send_signal(number)
        _, errors = program.communicate(timeout=20)
        assert program.returncode == code
        assert "Traceback" not in errors
        assert not is_served(program.port)


def test_a_taken_port_is_named_with_the_remedy():
    with demo("--once") as first:
        until_ready(first)
        second = subprocess.run(
            [sys.executable, "-m", "app", "demo", "--port", str(first.port)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert f"port {first.port} is taken by another server" in second.stderr
        assert "choose another with --port" in second.stderr


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
