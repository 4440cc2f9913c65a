"""A backup as docs/durability.md says, made while the server is busy, holds one moment's sessions."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading

from tests.bundles import expected
from tests.service.lab import ROOT, serving, talk

SESSIONS = [f"s{i}" for i in range(20)]


def documented_copy(data, backup) -> list[str]:
    page = (ROOT / "docs/durability.md").read_text()
    command = re.search(r"^python -c .*copy.*$", page, re.MULTILINE)[0]
    _, *arguments = shlex.split(command.replace("tidegate-data", str(data)).replace("backup", str(backup)))
    return [sys.executable, *arguments]


def stream(server, stop) -> None:
    """Step all sessions together."""
    with talk(server) as socket:
        for name in SESSIONS:
            socket.ask(op="open", id=name, model="sum", version="1", start=0)
        step = 0
        while not stop.is_set():
            step += 1
            socket.ask(op="steps", sessions=SESSIONS, values=[1] * len(SESSIONS), steps=[step] * len(SESSIONS))


def test_a_copy_of_a_busy_store_is_one_moment_of_it(models_dir, tmp_path):
    data, backup = tmp_path / "data", tmp_path / "restored"
    backup.mkdir()
    stop = threading.Event()
    with serving(models_dir, tmp_path, data_dir=data) as server:
        client = threading.Thread(target=stream, args=(server, stop))
        client.start()
        try:
            while server.get("/v1/sessions/s19").json().get("step", 0) < 20:
                pass
            subprocess.run(documented_copy(data, backup), check=True)
            at_copy = server.get("/v1/sessions/s0").json()["step"]
        finally:
            stop.set()
            client.join()
    with serving(models_dir, tmp_path, data_dir=backup) as server:
        steps = {server.get(f"/v1/sessions/{name}").json()["step"] for name in SESSIONS}
        assert len(steps) == 1
        (step,) = steps
        assert 20 <= step <= at_copy
        for name in SESSIONS:
            forecast = server.get(f"/v1/sessions/{name}/forecast").json()["quantiles"]["0.5"]
            assert forecast == expected([1] * step)
