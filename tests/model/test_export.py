"""What is exported is what was trained: one forecaster, three computations."""

import numpy as np
import onnx
import pytest
import torch

from model import parity
from model.architecture import Architecture
from model.contract import GRAPHS, Bundle, Covariate
from model.export import export
from model.forecaster import Forecaster
from model.parity import ParityError, Session
from model.serving import Serving

LEVELS = (0.1, 0.5, 0.9)
HOLIDAY = (Covariate("temperature"), Covariate("holiday", known_ahead=True))
KINDS = (Covariate("shop", categories=("a", "b")), Covariate("event", known_ahead=True, categories=("x",)))
ARCHITECTURES = {
    "categories among numbers": {"channels": ("a", "b"), "covariates": (KINDS[0], *HOLIDAY, KINDS[1])},
    "nothing but categories": {"channels": ("y",), "covariates": KINDS},
    "one channel with covariates": {"channels": ("y",), "covariates": HOLIDAY},
    "two channels, signed, an LSTM of two layers": {
        "channels": ("a", "b"),
        "signed": True,
        "cell": "lstm",
        "layers": 2,
        "by_change": True,
    },
    "torch's GRU with past covariates only": {"channels": ("y",), "covariates": HOLIDAY[:1], "cell": "gru-reset-after"},
    "a plain recurrent network of two layers": {"channels": ("a", "b"), "cell": "rnn", "layers": 2, "signed": True},
    "no seasons, no calendar": {"channels": ("y",), "seasons": (), "cycles": (), "by_change": True},
    "a season longer than the horizon and one shorter": {
        "channels": ("y",),
        "seasons": (4, 30),
        "horizon": 9,
        "by_change": True,
    },
    "a single quantile": {"channels": ("y",), "quantiles": (0.5,)},
}


def forecaster(**choices):
    torch.manual_seed(0)
    settings = {
        "frequency": 3600, "horizon": 6, "quantiles": LEVELS, "seasons": (24,), "cycles": ((86400, 3),),
        "units": 8, "width": 8, "context": 8, "head": 4,
    }  # fmt: skip
    made = Forecaster(Architecture(**(settings | choices)))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        made.residual.bias.add_(0.8)  # bands that are too narrow, but not by far
    return made.eval()


def exported(directory, **choices):
    return export(forecaster(**choices), directory, name="test", version="1", created_at="2026-01-01", training={})


@pytest.mark.parametrize("choices", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_torch_numpy_and_onnxruntime_agree(choices, tmp_path):
    bundle = exported(tmp_path, **choices)
    assert Bundle.from_json((tmp_path / "bundle.json").read_text()) == bundle


def test_the_same_weights_give_the_same_bytes(tmp_path):
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        exported(tmp_path / name, channels=("y",))
        texts.append([(tmp_path / name / f"{graph}.onnx").read_bytes() for graph in GRAPHS])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graph_computes_nothing_that_nobody_asks_for(graph, tmp_path):
    exported(tmp_path, channels=("y",))
    model = onnx.load(tmp_path / f"{graph}.onnx").graph
    branches = [one.g for node in model.node for one in node.attribute if one.type == onnx.AttributeProto.GRAPH]
    assert len(branches) == (2 if graph == "encoder" else 0)
    for part in (model, *branches):
        asked = {name for node in part.node for name in node.input} | {output.name for output in part.output}
        assert all(asked.intersection(node.output) for node in part.node)


@pytest.mark.parametrize("graph", ["encoder", "decoder", "step", "explain"])
def test_export_refuses_when_a_graph_says_something_else(graph, tmp_path, monkeypatch):
    class Lying(Session):
        def __call__(self, feed):
            outputs = super().__call__(feed)
            return [output * 1.001 for output in outputs] if self.path.stem == graph else outputs

        def __init__(self, path):
            super().__init__(path)
            self.path = path

    monkeypatch.setattr(parity, "Session", Lying)
    with pytest.raises(ParityError, match="differ by"):
        exported(tmp_path, channels=("y",))
    assert not (tmp_path / "bundle.json").exists()


@pytest.fixture
def served(tmp_path):
    made = forecaster(channels=("y",))
    export(made, tmp_path, name="test", version="1", created_at="2026-01-01", training={})
    sessions = {graph: Session(tmp_path / f"{graph}.onnx") for graph in GRAPHS}
    return Serving(made), sessions


def run(served, values, encode="encoder"):
    serving, sessions = served
    values = np.asarray(values, np.float32)[None, :, None]
    time = 1_700_000_400 + 3600 * np.arange(values.shape[1])[None]
    state = sessions[encode]({"values": values, "time": time, "state": np.zeros((1, serving.size), np.float32)})[0]
    quantiles = sessions["decoder"]({"state": state, "time": time[:, -1]})[0]
    return state, quantiles[0, :, 0]


@pytest.mark.parametrize(
    "values",
    [[0.0] * 60, [7.0] * 60, [-7.0] * 60, [np.nan] * 60, [3.0], [1e30] * 30, [1e-30] * 30, [1.0] * 30 + [1e6] + [1.0] * 30],
    ids=["zero", "constant", "negative", "missing", "a single value", "huge", "tiny", "a spike"],
)  # fmt: skip
def test_forecasts_are_finite_and_in_order_for_any_series(values, served):
    _, quantiles = run(served, values)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_a_series_of_zeros_is_forecast_as_zero(served):
    _, quantiles = run(served, [0.0] * 60)
    np.testing.assert_allclose(quantiles, 0, atol=1e-20)


def test_a_series_that_was_never_negative_is_never_forecast_negative(served):
    values = np.random.default_rng(0).exponential(1.0, 200)
    assert (run(served, values)[1] >= 0).all()
    assert (run(served, -values)[1] < 0).any()


def test_a_state_remembers_the_newest_observations_as_they_came(served):
    serving, _ = served
    values = np.arange(100, dtype=np.float32)
    values[[3, 97]] = np.nan
    state, _ = run(served, values)
    np.testing.assert_array_equal(state[0, serving.layout["recent"].span], values[-serving.layout["recent"].shape[0] :])
    assert state[0, serving.layout["count"].span] == 100


def test_scale_of_a_series_only_scales_its_forecast(served):
    values = np.random.default_rng(0).exponential(1.0, 200).astype(np.float32)
    np.testing.assert_allclose(run(served, values * 1024)[1], run(served, values)[1] * 1024, rtol=1e-5)


def test_a_graph_gives_every_category_its_own_forecast_and_one_to_all_others(tmp_path):
    bundle = exported(
        tmp_path, channels=("y",), covariates=(Covariate("event", known_ahead=True, categories=("x", "y")),)
    )
    event, decoder = bundle.covariates[0], Session(tmp_path / "decoder.onnx")
    state, time = np.zeros((1, bundle.state_size), np.float32), np.array([0])
    forecasts = {}
    for kind in ("x", "y", "z", None):
        future = np.full((1, bundle.horizon, 1), event.number(kind), np.float32)
        forecasts[kind] = decoder({"state": state, "time": time, "future_covariates": future})[0]
    np.testing.assert_array_equal(forecasts["z"], forecasts[None])
    for one, other in (("x", "y"), ("y", "z"), ("x", "z")):
        assert not np.allclose(forecasts[one], forecasts[other], rtol=1e-3, atol=0)
