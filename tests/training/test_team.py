"""Several processes fit one forecaster: real ones, started by `torchrun`."""

import itertools
import json
import os
import re
import socket
import subprocess
import sys

import pytest
import torch

from model.contract import METADATA_FILE
from tests.training.conftest import ROOT, command, start
from training.__main__ import main, prepare
from training.checkpoint import Curve, Run
from training.ensemble import begin
from training.errors import InputError
from training.team import Team

STEPS = 40
CHOICES = ("--target", "load", "--series", "site", "--covariates", "rain", "--future-covariates", "holiday", "--horizon", "6",
           "--units", "6", "--window", "48", "--burn-in", "24", "--batch", "5", "--seasons", "24", "--name", "load",
           "--steps", STEPS)  # fmt: skip
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def fit(history, out, *more):
    return [str(argument) for argument in ("fit", "--data", history, "--out", out, *CHOICES, *more)]


def torchrun(*arguments):
    return subprocess.run([*TORCHRUN, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def made(out):
    return json.loads((out / "load/1" / METADATA_FILE).read_text())["training"]


@pytest.fixture
def alone(history, tmp_path):
    assert main(fit(history, tmp_path / "alone")) == 0
    return made(tmp_path / "alone")


def test_two_processes_fit_what_one_fits_and_speak_once(history, alone, tmp_path):
    ran = torchrun("-m", "training", *fit(history, tmp_path / "team"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("step 40 of 40") == ran.stdout.count("Wrote ") == 1
    together = made(tmp_path / "team")
    assert (alone["processes"], together["processes"]) == (1, 2)
    assert together["validation_loss"] == pytest.approx(alone["validation_loss"], rel=1e-3)


def test_two_processes_go_on_with_what_one_began(history, alone, tmp_path):
    asked = fit(history, tmp_path / "team")
    request, data = prepare(asked)
    begun = begin(data.panel, data.split, request.config)
    run, curve = Run(request.config, data.digest), Curve()
    curve.loss += [progress.loss for progress in itertools.islice(begun, STEPS // 2)]
    run.prepare()
    run.save(begun, curve)
    ran = torchrun("-m", "training", *asked, "--resume")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Going on from step 20 of ") == 1
    assert made(tmp_path / "team")["validation_loss"] == pytest.approx(alone["validation_loss"], rel=1e-3)
    assert not (tmp_path / "team/.runs").exists()


def test_a_process_that_is_refused_ends_all_and_says_which_it_is(history, tmp_path):
    (tmp_path / "of-0.csv").write_bytes(history.read_bytes())
    asked = fit(tmp_path / "of-$RANK.csv", tmp_path / "team")
    ran = torchrun("--no-python", "bash", "-c", f"exec {' '.join(command(*asked))}")
    assert ran.returncode != 0
    said = [line for line in ran.stderr.splitlines() if line.startswith("python -m training: ")]
    complaint = f"{tmp_path}/of-1.csv: there is no such file; correct --data (in process 2 of 2)"
    assert said == [f"python -m training: {complaint}"]
    assert not (tmp_path / "team").exists()


def test_every_window_is_the_part_of_one_process():
    parts = [Team(rank, 3).share(torch.arange(8)).tolist() for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_there_must_be_a_window_for_every_process(history, tmp_path):
    request, data = prepare(fit(history, tmp_path, "--batch", "1"))
    with pytest.raises(
        InputError, match="--batch 1 makes 1 windows of 1 channels, too few for 2 processes; give --batch 2"
    ):
        begin(data.panel, data.split, request.config, Team(0, 2))


def test_whoever_loses_another_process_ends_and_says_so(history, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    asked = fit(history, tmp_path / "team", "--steps", "100000")
    first, second = (start(*asked, env=place | {"RANK": str(rank)}) for rank in range(2))
    said = next(line for line in first.stdout if line.startswith("step "))
    assert re.match(r"step \d+ of 100,000", said)
    second.kill()
    second.communicate()
    _, complaint = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "process 1 of 2 has lost another one and ends; see why that one ended" in complaint.splitlines()[-1]
    assert not (tmp_path / "team/load").exists()
