"""A disk that fails ends the process loudly; a full one refuses what is new, and what was acknowledged stays."""

from __future__ import annotations

import subprocess
import time

import httpx
import pytest

from app.stores.journal import FILES
from app.stores.lmdb import FILE
from tests.bundles import expected
from tests.crash.strace import traced
from tests.service.lab import serving


def send(server, step):
    return server.post("/v1/sessions/a/steps", {"values": [step], "step": step})


def opened(server):
    assert server.post("/v1/sessions", {"id": "a", "model": "sum", "version": "1", "start": 0}).status_code == 201


def forecast(server):
    return server.get("/v1/sessions/a/forecast").json()["quantiles"]["0.5"]


def is_acknowledged(server, step) -> bool:
    """Whether a server that may be going away has taken a step."""
    try:
        return send(server, step).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_an_error_of_the_disk_ends_the_process_and_nothing_is_acknowledged_after_it(models_dir, tmp_path, call):
    settings = {"data_dir": tmp_path / "data", "durability": "sync"}
    with serving(models_dir, tmp_path, **settings) as server:
        opened(server)
        assert all(send(server, step).json()["applied"] == 1 for step in (1, 2, 3))
        with traced(server.process.pid, tmp_path / "trace", *failing(tmp_path / "data", FILES, call)):
            assert not is_acknowledged(server, 4)
            assert server.process.wait(20) == 1
        assert "Input/output error" in server.log.read_text()
    with serving(models_dir, tmp_path, **settings) as server:
        step = server.get("/v1/sessions/a").json()["step"]
        assert step in {3, 4}
        assert send(server, 4).json()["replayed"] is (step == 4)
        assert forecast(server) == expected([1, 2, 3, 4])


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("call", ["fdatasync", "pwritev,writev,pwrite64"])
def test_an_error_behind_the_journal_ends_the_process_and_everything_acknowledged_is_there(models_dir, tmp_path, call):
    settings = {"data_dir": tmp_path / "data", "durability": "sync", "sync_seconds": 0.05}
    with serving(models_dir, tmp_path, **settings) as server:
        opened(server)
        with traced(server.process.pid, tmp_path / "trace", *failing(tmp_path / "data", [FILE], call)):
            sent = acknowledged = 0
            while server.process.poll() is None and sent < 5000:
                sent += 1
                if not is_acknowledged(server, sent):
                    break
                acknowledged = sent
            assert server.process.wait(20) == 1
        assert "Input/output error" in server.log.read_text()
    with serving(models_dir, tmp_path, **settings) as server:
        step = server.get("/v1/sessions/a").json()["step"]
        assert acknowledged <= step <= sent
        assert forecast(server) == expected(range(1, step + 1))


def failing(data, files, call) -> list[str]:
    """Options with which strace makes these calls fail on these files."""
    paths = [option for file in files for option in ("-P", str(data / file))]
    return [*paths, "-e", f"trace={call}", "-e", f"inject={call}:error=EIO"]


@pytest.mark.parametrize("durability", ["sync", "interval", "none"])
def test_a_full_disk_refuses_steps_peeks_go_on_and_it_recovers_by_itself(models_dir, tmp_path, small_disk, durability):
    settings = {"data_dir": small_disk, "durability": durability, "sync_seconds": 0.05}
    with serving(models_dir, tmp_path, **settings) as server:
        opened(server)
        ballast = small_disk / "ballast"
        subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True, check=False)
        sent = refused_at(server)
        assert send(server, sent).json()["code"] == "store-unavailable"
        kept = server.get("/v1/sessions/a").json()["step"]
        assert forecast(server) == expected(range(1, kept + 1))
        assert server.get("/health/live").status_code == 200
        ballast.unlink()
        for step in range(sent, sent + 5):
            assert answered(server, step)["step"] == step
        server.process.kill()
        server.process.wait()
        with serving(models_dir, tmp_path, **settings) as again:
            step = again.get("/v1/sessions/a").json()["step"]
            assert step == sent + 4 if durability != "interval" else kept <= step <= sent + 4
            assert forecast(again) == expected(range(1, step + 1))


def refused_at(server) -> int:
    """Step until the disk is full; the step that is refused."""
    for step in range(1, 5000):
        reply = send(server, step)
        if reply.status_code != 200:
            assert (reply.status_code, reply.json()["code"]) == (503, "store-unavailable")
            assert "disk is full" in reply.json()["detail"]
            return step
    raise AssertionError("it was never full")


def answered(server, step) -> dict:
    """The answer to a step that is sent again while it is refused, for a second at most."""
    for _ in range(100):
        reply = send(server, step)
        if reply.status_code == 200:
            return reply.json()
        time.sleep(0.01)
    raise AssertionError(reply.text)
