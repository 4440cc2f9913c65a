"""An ensemble is one bundle whose forecasts are the mean of its members'."""

import numpy as np
import pytest
import torch

from model.ensemble import Ensemble
from model.export import export
from model.parity import Session
from model.serving import Serving
from tests.model.test_export import HOLIDAY, forecaster

KINDS = {
    "one channel with covariates": {"channels": ("y",), "covariates": HOLIDAY},
    "two channels, signed, an LSTM of two layers": {
        "channels": ("a", "b"),
        "signed": True,
        "cell": "lstm",
        "layers": 2,
    },
}


def members(count, **choices):
    made = [forecaster(**choices) for _ in range(count)]
    torch.manual_seed(1)
    for other in made[1:]:
        for parameter in other.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return made


def exported(directory, made):
    directory.mkdir()
    return export(made, directory, name="test", version="1", created_at="2026-01-01", training={})


def quantiles(directory, bundle, values):
    """Forecasts (H, C, Q) after a series (T, C), as they are served without a correction of bands."""
    steps, K = len(values), len(bundle.covariates)
    time = 1_700_000_400 + 3600 * np.arange(steps)[None]
    feed = {"values": values[None], "time": time, "state": np.zeros((1, bundle.state_size), np.float32)}
    ahead = {"time": time[:, -1]}
    if K:
        feed["covariates"] = np.ones((1, steps, K), np.float32)
        ahead["future_covariates"] = np.ones((1, bundle.horizon, len(bundle.known_ahead)), np.float32)
    state = Session(directory / "encoder.onnx")(feed)[0]
    return Session(directory / "decoder.onnx")(ahead | {"state": state})[0][0]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_forecasts_are_the_mean_of_the_members_forecasts(kind, tmp_path):
    made = members(3, calibrate=False, **kind)
    values = 10 + np.random.default_rng(0).standard_normal((100, len(kind["channels"]))).astype(np.float32)
    singles = [quantiles(tmp_path / str(i), exported(tmp_path / str(i), one), values) for i, one in enumerate(made)]
    together = quantiles(tmp_path / "all", exported(tmp_path / "all", Ensemble(made)), values)
    assert not np.allclose(singles[0], singles[1], rtol=1e-3)
    np.testing.assert_allclose(together, np.mean(singles, 0), rtol=1e-4, atol=1e-4)


def test_only_the_recurrences_take_more_room(tmp_path):
    made = members(3, channels=("y",))
    one, three = exported(tmp_path / "one", made[0]), exported(tmp_path / "three", Ensemble(made))
    assert three.state["hidden"].size == 3 * one.state["hidden"].size
    assert three.state_size - one.state_size == 2 * one.state["hidden"].size
    assert (three.layers, three.parameters) == (3 * one.layers, 3 * one.parameters)


def test_an_ensemble_of_one_is_its_member(tmp_path):
    (made,) = members(1, channels=("y",))
    exported(tmp_path / "one", made)
    exported(tmp_path / "ensemble", Ensemble([made]))
    for graph in ("encoder", "decoder", "step", "explain"):
        assert (tmp_path / "one" / f"{graph}.onnx").read_bytes() == (
            tmp_path / "ensemble" / f"{graph}.onnx"
        ).read_bytes()


def test_every_member_can_be_looked_into():
    made = members(2, channels=("y",))
    serving = Serving(Ensemble(made))
    values, time = np.ones((1, 5, 1), np.float32), 3600 * np.arange(5)[None]
    with np.errstate(invalid="ignore", divide="ignore"):
        gates = serving.explain(values, time, None, np.zeros((1, serving.size), np.float32))
    assert [gate.shape for gate in gates] == [(1, 5, 2, 8)] * 3
    assert not np.allclose(gates[0][:, :, 0], gates[0][:, :, 1])


def test_members_of_different_architectures_are_refused():
    with pytest.raises(ValueError, match="different architectures; fit them on the same data"):
        Ensemble([forecaster(channels=("y",)), forecaster(channels=("z",))])
