"""The server that most tests of the service share."""

from __future__ import annotations

import gzip
import re

import pytest

from model.contract import GRAPHS
from tests.service.alerts import FIRST, LAST, STRANGE, TRAFFIC
from tests.service.lab import ROOT, serving


@pytest.fixture(scope="session")
def server(models_dir, tmp_path_factory):
    """The server that most tests share; each names sessions of its own."""
    with serving(models_dir, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def strict(models_dir, tmp_path_factory):
    """A server that has little patience and reads little."""
    limits = {"ws_send_seconds": 1, "max_body_bytes": 100_000, "queue_limit": 300, "ws_window": 64}
    with serving(models_dir, tmp_path_factory.mktemp("strict"), **limits) as running:
        yield running


@pytest.fixture(scope="session")
def forecaster_server(tmp_path_factory):
    """A server of a small forecaster with random weights. It logs in JSON."""
    torch = pytest.importorskip("torch")
    from model.architecture import Architecture  # noqa: PLC0415 - they need torch
    from model.export import export  # noqa: PLC0415
    from model.forecaster import Forecaster  # noqa: PLC0415

    directory = tmp_path_factory.mktemp("forecaster")
    bundle = directory / "models" / "tiny" / "1"
    bundle.mkdir(parents=True)
    torch.manual_seed(0)
    made = Forecaster(
        Architecture(
            frequency=3600, horizon=6, quantiles=(0.1, 0.5, 0.9), channels=("y",), seasons=(24,), cycles=((86400, 3),),
            units=8, width=8, context=8, head=4,
        )
    )  # fmt: skip
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    export(made.eval(), bundle, name="tiny", version="1", created_at="2026-01-01T00:00:00Z", training={})
    assert all((bundle / f"{graph}.onnx").exists() for graph in GRAPHS)
    with serving(directory / "models", directory, store="memory", log_format="json") as server:
        yield server


@pytest.fixture(scope="session")
def metro(tmp_path_factory):
    """A server of the model that ships with the repository."""
    with serving(ROOT / "models", tmp_path_factory.mktemp("metro"), store="memory") as running:
        yield running


@pytest.fixture(scope="session")
def traffic():
    """Hours of the shipped data as rows of time and value, with two strange ones among them."""
    with gzip.open(TRAFFIC, "rt", encoding="utf-8") as lines:
        rows = [line.split(",")[:2] for line in lines if FIRST <= line[:16] < LAST]
    return [(moment, STRANGE.get(moment, value)) for moment, value in rows]


@pytest.fixture
def name(request):
    """A session id of the test's own."""
    return re.sub("[^A-Za-z0-9_.-]", "_", request.node.name)[:100]
