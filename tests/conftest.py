"""What many tests need: the accumulator's bundles and an engine to ask."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from app.engine.backlog import TickLimits
from app.engine.engine import Engine
from app.engine.operations.base import Context
from app.engine.registry import open_models
from app.engine.session import Key
from app.engine.sessions import SessionLimits, Sessions
from app.engine.task import Task
from app.stores.memory import MemoryStore
from model.contract import Covariate
from tests.bundles import write_bundle

NOON = 1_767_268_800  # 2026-01-01T12:00:00Z


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory) -> Path:
    """Three models: `sum` with two versions, `pair` with two channels and covariates, `long` which remembers much."""
    directory = tmp_path_factory.mktemp("models")
    write_bundle(directory, "sum", "1")
    write_bundle(directory, "sum", "2", levels=(0.25, 0.5, 0.75))
    write_bundle(
        directory,
        "pair",
        channels=("in", "out"),
        covariates=(Covariate("rain"), Covariate("holiday", known_ahead=True)),
    )
    write_bundle(directory, "long", recent=400)
    return directory


@pytest.fixture(scope="session")
def models(models_dir):
    return open_models(models_dir, "cpu", "auto")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.fixture
def lab(models):
    return Lab(models)


class Lab:
    """An engine without a thread: asking runs ticks until the answer is there."""

    def __init__(self, models, *, store=None, limits=None, gap_limit=5, **sessions) -> None:
        self.ticks = []
        self.store = store or MemoryStore()
        self.clock = float(NOON)
        self.sessions = Sessions(self.store, models, SessionLimits(**sessions), lambda: self.clock)
        self.context = Context(models, self.sessions, lambda: self.clock, gap_limit)
        self.engine = Engine(self.context, limits or TickLimits(), self.ticks.append)

    def ask(self, operation):
        """The reply to one operation; raises what it is refused with."""
        (answer,) = self.ask_all([operation])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask_all(self, operations) -> list:
        """The replies to operations that arrive together, refusals among them."""
        tasks = [Task(operation) for operation in operations]
        self.run(tasks)
        return [task.error or task.reply for task in tasks]

    def run(self, tasks) -> None:
        self.engine.tick(tasks)
        for _ in itertools.repeat(None, 10_000):
            if all(task.is_answered for task in tasks):
                return
            self.engine.tick([])
        raise AssertionError("a task was never answered")

    def state(self, name):
        return self.sessions.gather(key(name))[2]


def key(name="a") -> Key:
    return Key("", name)


def column(*values) -> np.ndarray:
    """Observations (T, 1) of one channel; None is missing."""
    return np.array([[np.nan if value is None else value] for value in values], np.float32).reshape(-1, 1)
