"""Covariates that are of a kind, all the way: from a file of words to forecasts over REST and a WebSocket that depend on them."""

import numpy as np
import pytest

from tests.service.lab import serving, talk

HOURS, HORIZON = 900, 4
CLOSE = 15  # visits: the model is small and hardly trained
LEVELS = {"none": 100.0, "sale": 160.0, "strike": 60.0}
START = 1_767_225_600  # a Thursday
CHOICES = ("--target", "visits", "--future-covariates", "event", "--covariates", "shift", "--categories", "shift", "--horizon", HORIZON,
           "--units", "8", "--window", "48", "--burn-in", "12", "--batch", "32", "--steps", "400", "--seasons",
           "--learning-rate", ".02", "--name", "shop")  # fmt: skip


def rows():
    """Visits that depend on nothing but the hour's event, which changes at random; the number of the shift says nothing."""
    random = np.random.default_rng(0)
    events = random.choice(list(LEVELS), HOURS)
    for hour, event in enumerate(events):
        yield f"{START + 3600 * hour},{LEVELS[event] + random.normal():.2f},{event},{hour // 8 % 3 + 1}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server of a model that was fitted to the file."""
    pytest.importorskip("torch")
    from training.__main__ import main  # noqa: PLC0415 - it needs torch

    directory = tmp_path_factory.mktemp("shop")
    data = directory / "visits.csv"
    data.write_text("\n".join(["time,visits,event,shift", *rows()]) + "\n")
    asked = ("fit", "--data", data, "--out", directory / "models", *CHOICES)
    assert main([str(argument) for argument in asked]) == 0
    with serving(directory / "models", directory, store="memory") as server:
        yield server


def middle(forecast):
    return forecast["quantiles"]["0.5"]


def history():
    """The last visits of the file, and what is known beside them."""
    _, visits, events, shifts = zip(*(row.split(",") for row in list(rows())[-40:]), strict=True)
    return {"values": list(map(float, visits)), "covariates": {"event": events, "shift": list(map(int, shifts))}}


def test_the_model_says_which_categories_it_knows(shop):
    (version,) = shop.get("/v1/models/shop").json()["versions"]
    assert version["covariates"] == [
        {"name": "shift", "known_ahead": False, "categories": ["1", "2", "3"]},
        {"name": "event", "known_ahead": True, "categories": ["none", "sale", "strike"]},
    ]


def test_a_forecast_over_rest_follows_each_steps_category(shop):
    series = history() | {"start": START, "future_covariates": {"event": ["sale", "strike", "none", "sale"]}}
    answer = shop.post("/v1/forecast", {"series": [series]})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(middle(answer.json()["forecasts"][0]), [160, 60, 100, 160], atol=CLOSE)


def test_a_forecast_over_a_socket_follows_each_steps_category(shop):
    with talk(shop) as socket:
        socket.ask(op="open", id="a", start=START, history=history())
        for event, level in LEVELS.items():
            wish = {"future_covariates": {"event": [event] * HORIZON}}
            np.testing.assert_allclose(middle(socket.ask(op="peek", session="a", **wish)), level, atol=CLOSE)
        step = {"values": [100.0], "covariates": {"event": ["none"], "shift": [2]}, "forecast": wish}
        stepped = socket.ask(op="step", session="a", **step)
        np.testing.assert_allclose(middle(stepped["forecast"]), LEVELS["strike"], atol=CLOSE)
        for name in ("b", "c"):
            socket.ask(op="open", id=name, start=START)
        both = socket.ask(
            op="steps", sessions=["b", "c"], values=[60.0, 160.0], covariates={"event": ["strike", "sale"]}
        )
        assert both["step"] == [1, 1]


def test_what_is_in_no_vocabulary_is_another_category_and_missing_ones_are_too(shop):
    def forecast(**future):
        series = history() | {"start": START, "future_covariates": future}
        return middle(shop.post("/v1/forecast", {"series": [series]}).json()["forecasts"][0])

    unknown = forecast(event=["flood"] * HORIZON)
    assert unknown == forecast(event=[None] * HORIZON) == forecast()
    assert all(70 < visits < 140 for visits in unknown)


@pytest.mark.parametrize(
    ("covariates", "detail"),
    [
        ({"event": ["sale", 3]}, "3 is not text like the others; use null for a missing value"),
        ({"event": [True, None]}, "true is not a number; use null for a missing value"),
    ],
)
def test_a_column_is_of_numbers_or_of_text(shop, covariates, detail):
    answer = shop.post("/v1/forecast", {"series": [{"values": [1, 2], "covariates": covariates}]})
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


def test_a_word_is_no_number(server):
    asked = {"model": "pair", "series": [{"values": [[1, 2]], "covariates": {"rain": ["heavy"]}}]}
    answer = server.post("/v1/forecast", asked)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "covariate 'rain' is a number, 'heavy' is none; use null for a missing value"
