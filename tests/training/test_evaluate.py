"""The backtest forecasts from every origin of every series, in one pass, as if it had asked for each alone.

The model is the accumulator of tests/bundles.py, whose forecasts tell which observations it saw and in which order.
"""

import numpy as np
import pytest

from model.contract import Covariate
from tests import bundles
from training import origins as places
from training.dataset import Panel, Series, Split
from training.evaluate import OURS, backtest, forecast, seasonal
from training.graphs import Graphs
from training.metrics import document
from training.origins import Laid, gathered, stream

HOUR = 3600
nan = np.nan


def series(name, start, length):
    random = np.random.default_rng(start)
    values = random.integers(1, 9, (length, 1)).astype(np.float32)
    values[random.random(length) < 0.2] = nan
    values[0] = 1
    return Series(name, start * HOUR, values, random.integers(0, 3, (length, 2)).astype(np.float32))


@pytest.fixture(scope="module")
def panel():
    """Three series that begin and end at different times; the test part begins at hour 60 in all of them."""
    known = (Covariate("rain"), Covariate("holiday", known_ahead=True))
    return Panel(HOUR, ("y",), known, (series("a", 0, 90), series("b", 10, 60), series("c", 30, 33)), 0)


SPLIT = Split((50, 40, 20), (60, 50, 30))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory, panel):
    directory = bundles.write_bundle(tmp_path_factory.mktemp("models"), covariates=panel.covariates)
    return Graphs(directory, bundles.read(directory))


def origins(panel):
    """All that there are: from the last row before the test part to the last that leaves a whole horizon."""
    H = bundles.HORIZON
    return {(i, row) for i, one in enumerate(panel.series) for row in range(SPLIT.test_from[i] - 1, len(one) - H)}


def expected(one, row):
    """The accumulator's median forecast."""
    past, covariates = one.values[: row + 1, 0], one.covariates
    influence = covariates[: row + 1].sum()
    ahead = covariates[row + 1 : row + 1 + bundles.HORIZON, 1]
    return bundles.expected([None if np.isnan(value) else value for value in past], extra=influence) + ahead


@pytest.mark.parametrize("rows", [1, 4, 256])
def test_every_origin_is_forecast_once_from_all_that_came_before_it(rows, graphs, panel, monkeypatch):
    monkeypatch.setattr(places, "ROWS", rows)
    laid, seen = Laid(panel), []
    for some in gathered(stream(graphs, laid, SPLIT)):
        assert len(some.row) <= rows
        truth, said = forecast(graphs, laid, some)
        for i, (which, row) in enumerate(zip(some.series, some.row, strict=True)):
            one = panel.series[which]
            np.testing.assert_allclose(said[OURS][i, :, 0, 1], expected(one, row))
            np.testing.assert_array_equal(truth[i], one.values[row + 1 : row + 1 + bundles.HORIZON])
            seen.append((int(which), int(row)))
    assert len(seen) == len(set(seen))
    assert set(seen) == origins(panel)


def test_the_rivals_scores_are_those_of_a_plain_computation(graphs, panel):
    found = document(backtest(graphs, panel, SPLIT), panel, SPLIT)
    errors, sizes, ratios = [], [], []
    for i, one in enumerate(panel.series):
        y, mine = one.values[:, 0], []
        for row in range(SPLIT.test_from[i] - 1, len(y) - bundles.HORIZON):
            for h in range(1, bundles.HORIZON + 1):
                ago = [y[row + h - back] for back in (24, 48) if row + h >= back]
                known = [value for value in [*ago, *y[row::-1]] if not np.isnan(value)]
                mine.append(abs(known[0] - y[row + h]))
                sizes.append(abs(y[row + h]))
        errors += mine
        past = y[: SPLIT.test_from[i]]
        ratios.append(np.nanmean(mine) / np.nanmean(np.abs(past[24:] - past[:-24])))
    rival = found["forecasters"][seasonal(24)]
    assert found["rival"] == seasonal(24)
    assert rival["mae"] == pytest.approx(np.nanmean(errors), rel=1e-5)
    assert rival["wql"] == pytest.approx(np.nansum(errors) / np.nansum(sizes), rel=1e-5)
    assert rival["mase"] == pytest.approx(np.mean(ratios), rel=1e-5)
    assert found["test"]["origins"] == len(origins(panel))
    assert [one["id"] for one in found["series"]] == ["a", "b", "c"]
