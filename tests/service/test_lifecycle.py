"""How the process starts, says what it serves, and ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.bundles import write_bundle
from tests.service.lab import ROOT, serving, talk

NOON = 1_767_268_800


def test_a_broken_bundle_is_refused_by_name_and_the_rest_is_served(tmp_path):
    models = tmp_path / "models"
    write_bundle(models, "whole")
    (write_bundle(models, "torn") / "decoder.onnx").unlink()
    (write_bundle(models, "changed") / "step.onnx").write_bytes(b"no graph")
    with serving(models, tmp_path) as server:
        ready = server.get("/health/ready")
        assert ready.status_code == 200
        refused = {one["bundle"]: one["reason"] for one in ready.json()["refused"]}
        assert set(refused) == {"torn/1", "changed/1"}
        assert "decoder.onnx" in refused["torn/1"]
        assert server.get("/v1/info").json()["refused"] == ready.json()["refused"]
        assert [one["name"] for one in server.get("/v1/models").json()["models"]] == ["whole"]
        assert server.post("/v1/forecast", {"series": [{"values": [1]}]}).status_code == 200
        log = server.log.read_text()
    assert "refused bundle changed/1: step.onnx" in log
    assert "serving model whole version 1 on CPUExecutionProvider" in log


def test_without_a_model_the_process_serves_and_is_not_ready(tmp_path):
    (tmp_path / "models").mkdir()
    with serving(tmp_path / "models", tmp_path) as server:
        assert server.get("/health/live").status_code == 200
        ready = server.get("/health/ready")
        assert ready.status_code == 503
        assert "no model is served" in ready.json()["reasons"][0]
        assert server.post("/v1/sessions", {}).json()["code"] == "model-not-found"
        assert server.get("/").status_code == 200
        assert f"no model is served: put a bundle into {tmp_path / 'models'}" in server.log.read_text()


def test_sigterm_under_load_answers_everybody_and_ends_well(models_dir, tmp_path):
    with serving(models_dir, tmp_path) as server, talk(server) as socket:
        names = [f"s{i}" for i in range(50)]
        for one in names:
            socket.ask(op="open", id=one, model="sum", version="1", start=NOON)
        statuses, stop = [], threading.Event()
        caller = threading.Thread(target=_call, args=(server, statuses, stop))
        caller.start()
        while 200 not in statuses:
            time.sleep(0.01)
        for turn in range(40):
            socket.send(op="steps", ref=turn, sessions=names, values=[1] * 50, forecast=False)
        socket.receive()
        server.process.send_signal(signal.SIGTERM)
        frames = list(socket)
        assert socket.socket.close_code == 1012
        assert frames[-1] == {"op": "draining"}
        answers = frames[:-1]
        assert len(answers) == 39
        assert all(one["op"] == "stepped" or one["code"] == "draining" for one in answers)
        assert server.process.wait(10) == 0
        stop.set()
        caller.join(10)
    assert set(statuses) <= {200, 503}


def _call(server, statuses, stop) -> None:
    """Ask over REST until the server takes no more connections."""
    with httpx.Client(base_url=server.url) as http:
        while not stop.is_set():
            try:
                statuses.append(http.post("/v1/forecast", json={"series": [{"values": [1]}]}).status_code)
            except httpx.TransportError:
                return


def test_a_client_that_reads_nothing_does_not_hold_up_the_end(models_dir, tmp_path):
    with serving(models_dir, tmp_path, grace_seconds=1) as server, talk(server) as socket:
        socket.ask(op="open", id="a", model="sum", version="1")
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 5


def test_the_end_of_the_compute_thread_ends_the_process_visibly(models_dir, tmp_path):
    """A signal handler that raises on the compute thread cannot be had from outside, so the process is told to lose it."""
    code = (
        "import sys, app.engine.engine as e\n"
        "def tick(self, arrived):\n"
        "    raise SystemError('the end')\n"
        "e.Engine.tick = tick\n"
        "from app.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    with serving(models_dir, tmp_path, launcher=("-c", code)) as server:
        answer = server.post("/v1/sessions", {"id": "a"})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert server.process.wait(20) == 1
        assert "the compute thread died" in server.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "http"], "--port is 'http'"),
        (["--models", "/nowhere"], "--models is '/nowhere'"),
        (["--ws-window", "0"], "--ws-window is '0'"),
        (["--provider", "tpu"], "--provider is 'tpu'"),
    ],
)
def test_a_malformed_option_is_one_line_and_exit_code_2(arguments, complaint):
    ended = run("serve", *arguments)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_malformed_variable_is_named():
    ended = run("serve", TIDEGATE_TICK_ROWS="many")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "TIDEGATE_TICK_ROWS is 'many'" in ended.stderr


def test_a_port_that_is_taken_is_said_so(server, models_dir):
    ended = run("serve", "--models", str(models_dir), "--port", str(server.port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {server.port}" in ended.stderr


def test_a_data_directory_that_cannot_be_had_is_said_so(models_dir):
    ended = run("serve", "--models", str(models_dir), "--port", "0", "--data-dir", "/proc/nowhere")
    assert ended.returncode == 1
    assert "the data directory /proc/nowhere cannot be used" in ended.stderr


def test_the_openapi_document_can_be_printed():
    assert '"openapi":"3.1.0"' in run("openapi").stdout


def run(*arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=60, check=False
    )


def test_logs_are_json_where_wanted(forecaster_server):
    for line in forecaster_server.log.read_text().splitlines():
        assert json.loads(line)["time"].startswith("20")


def test_installed_as_a_command():
    assert shutil.which("tidegate", path=str(Path(sys.executable).parent))
