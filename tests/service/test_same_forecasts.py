"""The ways of feeding a session are one way: the forecasts of a real forecaster agree however its observations came."""

from __future__ import annotations

import numpy as np

from tests.service.lab import talk

NOON = 1_767_268_800
COUNT, CROWD = 5000, 50


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
