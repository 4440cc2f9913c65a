"""The alerting example as users run it, and shipped traffic to watch with two strange hours in it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta

from tests.service.lab import ROOT

TRAFFIC = ROOT / "data/metro_traffic/metro_traffic.csv.gz"
FIRST, LAST = "2018-05-01 00:00", "2018-06-10 00:00"
STRANGE = {"2018-05-16 13:00": "300", "2018-05-16 15:00": "20000"}  # a closed road, and a counter gone wrong
EXPECTED = "2018-05-16T13:00:00Z"
REMEMBERED = 330  # observations to compare


@contextmanager
def watching(port, *options, source="-"):
    """The example in a process of its own, fed through its standard input if from nowhere else."""
    command = [sys.executable, "-u", ROOT / "examples/alert.py", source, "--url", f"http://127.0.0.1:{port}", *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    far_from_utc = os.environ | {"TZ": "America/Chicago"}
    with subprocess.Popen(command, text=True, env=far_from_utc, **pipes) as process:
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
    """How far a session is; 0 where it has not begun."""
    return server.get(f"/v1/sessions/{name}").json().get("step", 0)


def newest(server, name) -> list[float | None]:
    return server.get(f"/v1/sessions/{name}/history", limit=REMEMBERED).json()["values"]


def grid(rows) -> list[float | None]:
    """The values hour by hour, None where a row is absent."""
    found = {datetime.fromisoformat(moment): float(value) for moment, value in rows}
    first, last = min(found), max(found)
    return [found.get(first + timedelta(hours=n)) for n in range(round((last - first) / timedelta(hours=1)) + 1)]


def hours(rows) -> int:
    return len(grid(rows))
