"""Bands follow what observations say of them, one step at a time or many at once, and every observation has its surprise."""

import numpy as np
import pytest
import torch

from model.architecture import Architecture
from model.calibration import RAMP, RATE, WIDEST, Bands, bucket_ends
from model.contract import Bundle
from model.export import export
from model.forecaster import Forecaster
from model.parity import Session, uncorrected
from tests.model.test_export import HOLIDAY, forecaster

HOUR, START = 3600, 1_700_000_400
STEPS = 160
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


class Served:
    """A bundle's graphs, fed with series (T, C) of one session."""

    def __init__(self, directory, made=None, **choices):
        choices = {"channels": ("y",), "horizon": 30, "quantiles": LEVELS} | choices
        made = made or forecaster(**choices)
        self.bundle = export(made, directory, name="test", version="1", created_at="2026-01-01", training={})
        self.encoder, self.step, self.decoder = (
            Session(directory / f"{name}.onnx") for name in ("encoder", "step", "decoder")
        )

    @property
    def fresh(self):
        return np.zeros((1, self.bundle.state_size), np.float32)

    def at_once(self, values, state=None, start=0):
        values, time = self._feed(values, start)
        found, surprise = self.encoder(
            {"values": values, "time": time, "state": self.fresh if state is None else state}
        )
        return found, surprise[0]

    def singly(self, values, graph=None):
        """The states (T, S) after each step, and the surprises (T, C)."""
        state, states, surprises = self.fresh, [], []
        for t, value in enumerate(np.asarray(values, np.float32)):
            feed, time = self._feed(value[None], t)
            state, surprise = (graph or self.step)({"values": feed, "time": time, "state": state})
            states.append(state[0])
            surprises.append(surprise[0, 0])
        return np.stack(states), np.stack(surprises)

    def raw(self, states):
        """Quantiles (T, H, C, Q) from states after each step, as if bands were never corrected."""
        return self.forecast(uncorrected(states, self.bundle))

    def forecast(self, states):
        return self.decoder({"state": states, "time": START + HOUR * np.arange(len(states))})[0]

    def part(self, states, name):
        part = self.bundle.state[name]
        return states[..., part.span].reshape(*states.shape[:-1], *part.shape)

    def _feed(self, values, start):
        values = np.asarray(values, np.float32)
        return values[None], START + HOUR * (start + np.arange(len(values)))[None]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    return Served(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Served(tmp_path_factory.mktemp("pair"), channels=("a", "b"), signed=True)


def noise(steps=STEPS, channels=1, *, missing=0.1, seed=5):
    random = np.random.default_rng(seed)
    values = 20 + random.standard_normal((steps, channels)).cumsum(0).astype(np.float32)
    values[random.random(values.shape) < missing] = np.nan
    return values


def followed_by_hand(served, values):
    """Corrections (T, C, 2, buckets) and coverage as the issued raw forecasts say, written down as plainly as it can be."""
    bands = Bands.of(Architecture(HOUR, served.bundle.horizon, LEVELS, served.bundle.channels))
    raw = served.raw(served.singly(values)[0])
    T, C = values.shape
    k, coverage, found = np.zeros((C, 2, len(bands.ends))), np.zeros((C, 2, len(bands.ends))), []
    for t in range(T):
        for c in range(C):
            for b, h in enumerate(bands.horizons):
                y = values[t, c]
                if t < h or np.isnan(y):
                    continue
                low, median, high = raw[t - h, h - 1, c, [0, 2, 4]]
                scores = np.array([(median - y) / (median - low), (y - median) / (high - median)]).clip(0)
                coverage[c, :, b] += (1, (scores <= 1 + k[c, :, b]).all())
                exceeds = ((np.minimum(scores - 1, WIDEST) - k[c, :, b]) / RAMP + 0.5).clip(0, 1)
                k[c, :, b] += RATE / np.sqrt(h) * (exceeds - 0.1)
        found.append((k.copy(), coverage.copy()))
    return tuple(np.stack(parts) for parts in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["served", "pair"])
def test_corrections_are_those_that_the_forecasts_made_before_call_for(name, request):
    served = request.getfixturevalue(name)
    values = noise(channels=len(served.bundle.channels))
    states, _ = served.singly(values)
    k, coverage = followed_by_hand(served, values)
    assert served.bundle.calibration.ends == (1, 5, 30)
    np.testing.assert_allclose(served.part(states, "correction"), k, atol=2e-4)
    np.testing.assert_array_equal(served.part(states, "coverage"), coverage)


@pytest.mark.parametrize("name", ["served", "pair"])
@pytest.mark.parametrize("cut", [1, 3, 100])
def test_many_steps_at_once_are_single_steps(name, cut, request):
    served = request.getfixturevalue(name)
    values = noise(channels=len(served.bundle.channels))
    state, first = served.at_once(values[:cut])
    state, rest = served.at_once(values[cut:], state, cut)
    states, surprises = served.singly(values)
    for part in served.bundle.state:
        np.testing.assert_allclose(served.part(state, part)[0], served.part(states[-1], part), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.concatenate([first, rest]), surprises, atol=1e-4)


def test_a_missing_observation_says_nothing_about_bands(pair):
    values = noise(channels=2, missing=0)
    before, _ = pair.singly(values)
    values = np.concatenate([values, np.full((1, 2), np.nan)])
    values[-1, 1] = 30
    after, surprise = pair.singly(values)
    for name in ("correction", "coverage"):
        old, new = pair.part(before[-1], name), pair.part(after[-1], name)
        assert np.array_equal(old[0], new[0])
        assert not np.array_equal(old[1], new[1])
    assert np.isnan(surprise[-1, 0])
    assert np.isfinite(surprise[-1, 1])


def test_the_first_observation_of_all_is_no_surprise_and_the_state_keeps_the_last_ones(served):
    states, surprises = served.singly(noise(missing=0))
    assert np.isnan(surprises[0])
    assert np.isfinite(surprises[1:]).all()
    np.testing.assert_array_equal(served.part(states, "surprise"), surprises)


def test_surprise_is_one_at_the_median_and_falls_smoothly_to_zero_far_out(served):
    values = noise(missing=0)
    state, _ = served.at_once(values)
    low, *_, median, _, high = served.forecast(np.repeat(state, STEPS, 0))[
        -1, 0, 0
    ]  # the last one has the time of the last step
    places = median + (high - median) * np.array([0, 0.5, 1, 2, 4, 8], np.float32)
    surprises = [served.at_once([[y]], state, STEPS)[1][0, 0] for y in places]
    assert surprises[0] == pytest.approx(1, abs=1e-3)
    assert (np.diff(surprises) < 0).all()
    assert 0 <= surprises[-1] < 1e-3
    edges = [served.at_once([[y]], state, STEPS)[1][0, 0] for y in (low, high)]
    assert edges == pytest.approx([0.2, 0.2], abs=1e-3)


def untrained(directory, wider=0.0):
    """With weights as they are before training, but quantiles by so much farther apart, in units of the seasonal change."""
    torch.manual_seed(0)
    architecture = Architecture(HOUR, 30, LEVELS, ("y",), seasons=(24,), by_change=True, units=8, head=4)
    forecaster = Forecaster(architecture).eval()
    with torch.no_grad():
        forecaster.residual.bias[[0, 1, 3, 4]] = wider
    return Served(directory, forecaster)


def test_surprise_is_uniform_and_coverage_right_where_the_noise_changes(tmp_path):
    """With weights as they are before training: forecasts near the plain ones, whose bands know nothing."""
    served = untrained(tmp_path, wider=0.2)
    random = np.random.default_rng(1)
    loudness = np.repeat([1.0, 5.0, 0.2], 3000)
    values = (100 + loudness * random.standard_normal(9000)).astype(np.float32)[:, None]
    states, surprises = served.singly(values)
    raw, corrected, gaps = served.raw(states), served.forecast(states), []
    for start in (4500, 7500):  # the first noise is for learning that the bands are too narrow
        rows = np.arange(start, start + 1450)
        assert (surprises[rows] < 0.2).mean() == pytest.approx(0.2, abs=0.03)
        assert (surprises[rows] < 0.5).mean() == pytest.approx(0.5, abs=0.1)  # these weights know no shape
        for h in (1, 3, 18):  # those that stand for their buckets
            truth = values[rows + h, 0]
            inside = [
                float(((truth >= q[rows, h - 1, 0, 0]) & (truth <= q[rows, h - 1, 0, -1])).mean())
                for q in (raw, corrected)
            ]
            gaps.append([abs(share - 0.8) for share in inside])
    assert max(ours for _, ours in gaps) <= 0.04
    assert max(theirs for theirs, _ in gaps) > 0.2, "the raw bands of these weights are no test"


def test_bands_widen_to_no_more_than_three_times_so_that_a_jump_is_soon_forgotten(tmp_path):
    served = untrained(tmp_path)
    random = np.random.default_rng(2)
    calm, jumps = 100 + random.standard_normal(600), 100 * 3 ** np.arange(40)
    states, _ = served.singly(np.concatenate([calm, jumps])[:, None])
    k = served.part(states, "correction")
    assert (k[:600] > 1.5).any(), "the bands of these weights are too narrow, which they learn at first"
    assert 1.8 < k.max() <= 2.1
    tried, inside = (served.part(states[-1], "coverage") - served.part(states[620], "coverage"))[0]
    assert inside[0] / tried[0] < 0.2, "a miss is one however far bands have widened"


@pytest.mark.parametrize("sides", [(30.0, 30.0), (-1.0, -1.0), (-5.0, 30.0), (0.5, -0.7)], ids=str)
def test_bands_never_cross_whatever_the_correction(sides, pair):
    state, _ = pair.at_once(noise(channels=2))
    part = pair.bundle.state["correction"]
    state[:, part.span] = np.broadcast_to(np.array(sides, np.float32)[:, None], part.shape).flatten()
    raw, corrected = (read(state)[0] for read in (pair.raw, pair.forecast))
    assert (np.diff(corrected, axis=-1) >= 0).all()
    np.testing.assert_array_equal(corrected[..., 2], raw[..., 2])
    widths = np.maximum(1 + np.array(sides), 0)
    np.testing.assert_allclose(
        corrected[..., 2] - corrected[..., 0], (raw[..., 2] - raw[..., 0]) * widths[0], rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        corrected[..., 4] - corrected[..., 2], (raw[..., 4] - raw[..., 2]) * widths[1], rtol=1e-3, atol=1e-4
    )


def test_a_forecast_that_is_widened_does_not_become_negative(served):
    state, _ = served.at_once(np.abs(noise()))
    state[:, served.bundle.state["correction"].span] = 50
    assert served.forecast(state).min() == 0


def test_scale_of_a_series_changes_neither_surprise_nor_correction(pair):
    values = noise(channels=2)
    ours, theirs = pair.at_once(values), pair.at_once(values * 1024)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)
    for name in ("correction", "coverage"):
        np.testing.assert_allclose(pair.part(ours[0], name), pair.part(theirs[0], name), atol=1e-4)


@pytest.mark.parametrize(
    "values", [[0.0] * 300, [7.0] * 300, [np.nan] * 300, [0.0] * 299 + [1e30], [1e12] * 300], ids=range(5)
)
@pytest.mark.parametrize("name", ["served", "pair"])
def test_series_without_movement_have_finite_states_and_surprises(name, values, request):
    served = request.getfixturevalue(name)
    values = np.tile(np.array(values, np.float32)[:, None], (1, len(served.bundle.channels)))
    for state, surprise in (served.at_once(values), [part[-1:] for part in served.singly(values)]):
        for part in set(served.bundle.state) - {"recent", "surprise"}:
            assert np.isfinite(served.part(state, part)).all(), part
        known = surprise[~np.isnan(surprise)]
        assert ((known >= 0) & (known <= 1)).all()
        assert np.isfinite(served.forecast(state)).all()


def test_forecasts_that_are_not_finite_say_nothing_about_bands(pair):
    values = np.full((60, 2), 1e30, np.float32)
    states = pair.singly(values)[0]
    assert not np.isfinite(pair.part(states, "waiting")).all(), "these values are no test"
    for state in (states[-1:], pair.at_once(values)[0]):
        assert np.isfinite(pair.part(state, "correction")).all()


def test_covariates_known_ahead_are_known_to_the_forecast_that_is_judged(tmp_path):
    """The surprise of a step is that in the forecast which a client was given who named the covariates of that step."""
    served = Served(tmp_path, covariates=HOLIDAY)
    random = np.random.default_rng(0)
    known = random.standard_normal((1, STEPS, 2)).astype(np.float32)
    values, time = noise(missing=0)[None], START + HOUR * np.arange(STEPS)[None]
    past = {"values": values[:, :-1], "time": time[:, :-1], "covariates": known[:, :-1], "state": served.fresh}
    state, _ = served.encoder(past)
    ahead = {"time": time[:, -2], "future_covariates": np.repeat(known[:, -1:, 1:], 30, 1)}
    median = served.decoder(ahead | {"state": state})[0][0, 0, 0, 2]
    last = {"values": median.reshape(1, 1, 1), "time": time[:, -1:], "covariates": known[:, -1:], "state": state}
    assert served.step(last)[1] == pytest.approx(1, abs=1e-3)


def test_horizons_beyond_what_covariates_stay_steady_for_are_forecast_as_trained(tmp_path):
    served = Served(tmp_path, steady=5)
    assert served.bundle.calibration.ends == (1, 5)
    state, _ = served.at_once(noise())
    raw, corrected = served.raw(state)[0], served.forecast(state)[0]
    np.testing.assert_allclose(corrected[5:], raw[5:], rtol=1e-6)
    assert not np.allclose(corrected[:5], raw[:5], rtol=1e-3)


def test_without_calibration_forecasts_stay_raw_and_observations_have_their_surprise(tmp_path):
    served = Served(tmp_path, calibrate=False)
    assert served.bundle.calibration is None
    assert not {"correction", "coverage", "waiting"} & set(served.bundle.state)
    states, surprises = served.singly(noise(missing=0))
    assert np.isfinite(surprises[1:]).all()
    np.testing.assert_array_equal(served.raw(states), served.forecast(states))


def test_what_calibration_costs_is_in_the_description(served):
    bundle = Bundle.from_json(served.bundle.to_json())
    sizes = {name: part.size for name, part in bundle.state.items()}
    assert sum(sizes.values()) == bundle.state_size
    assert (sizes["correction"], sizes["coverage"], sizes["surprise"]) == (6, 6, 1)
    assert sizes["waiting"] == 3 * (2 + 17)  # horizons 3 and 18 stand for 2 to 5 and 6 to 30
    assert bundle.calibration.target == pytest.approx(0.8)


@pytest.mark.parametrize(("horizon", "ends"), [(1, (1,)), (2, (1, 2)), (6, (1, 6)), (24, (1, 5, 24)), (96, (1, 5, 21, 96)), (10_000, (1, 5, 22, 100, 464, 2154, 10000))])  # fmt: skip
def test_buckets_grow_with_the_horizon(horizon, ends):
    assert bucket_ends(horizon) == ends
