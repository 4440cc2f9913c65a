"""The ways of feeding a session are one way: the forecasts of a real forecaster agree however its observations came."""

from __future__ import annotations

import numpy as np
import pytest

from model.contract import GRAPHS
from tests.service.lab import serving, talk

NOON = 1_767_268_800
COUNT, CROWD = 5000, 50


@pytest.fixture(scope="module")
def forecaster_server(tmp_path_factory):
    """A server of a small forecaster with random weights."""
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
    with serving(directory / "models", directory, store="memory") as server:
        yield server


def observations() -> list[float | None]:
    random = np.random.default_rng(0)
    hours = np.arange(COUNT)
    values = 100 + 50 * np.sin(2 * np.pi * hours / 24) + random.normal(scale=5, size=COUNT)
    return [None if gone else float(value) for value, gone in zip(values, random.random(COUNT) < 0.02, strict=True)]


def forecast(server, name) -> np.ndarray:
    return np.array(list(server.get(f"/v1/sessions/{name}/forecast").json()["quantiles"].values()))


def test_single_steps_batches_company_and_one_history_give_the_same_forecasts(forecaster_server):
    values = observations()
    crowd = [f"c{i}" for i in range(CROWD)]
    with talk(forecaster_server) as socket:
        for name in ("single", "batches", "company", *crowd):
            socket.ask(op="open", id=name, start=NOON)
        socket.ask(op="open", id="history", start=NOON, history={"values": values})
        socket.ask_all([_step("single", [value]) for value in values])
        socket.ask_all([_step("batches", values[start : start + 333]) for start in range(0, COUNT, 333)])
        interleaved = []
        for t, value in enumerate(values):
            interleaved.append(_step("company", [value]))
            if t % 5 == 0:
                others = [t % 97 + i for i in range(CROWD)]
                interleaved.append({"op": "steps", "sessions": crowd, "values": others, "forecast": False})
        socket.ask_all(interleaved)
    whole = forecast(forecaster_server, "history")
    for name in ("single", "batches", "company"):
        np.testing.assert_allclose(forecast(forecaster_server, name), whole, rtol=1e-5)
    assert not np.allclose(forecast(forecaster_server, "c0"), forecast(forecaster_server, "c1"), rtol=1e-5)


def _step(session, values) -> dict:
    return {"op": "step", "session": session, "values": values, "forecast": False}
