"""Options and configuration files are checked before anything happens."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from training.config import FitConfig, read_config
from training.errors import InputError

LEAST = {"data": "traffic.csv", "target": ["y"], "horizon": 24}


def refused(options, path=None):
    with pytest.raises(InputError) as error:
        read_config(path, options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "fit.toml"
    path.write_text('data = "traffic.csv"\ntarget = ["y"]\nhorizon = 24\nfrequency = "30min"\ntest_from = 2018-05-01\n')
    return path


def test_a_configuration_file_says_what_options_can_say(toml):
    options = LEAST | {"frequency": "30min", "test_from": "2018-05-01"}
    assert read_config(toml, {}) == read_config(None, options)


def test_options_win_over_the_file(toml):
    config = read_config(toml, {"horizon": 48, "frequency": "1h"})
    assert (config.horizon, config.frequency, config.test_from, config.data) == (
        48,
        3600,
        1525132800,
        Path("traffic.csv"),
    )


def test_a_budget_is_in_minutes_where_it_says_m():
    assert [read_config(None, LEAST | {"budget": text}).budget for text in ("2m", "2min", "90s", "1h")] == [
        120,
        120,
        90,
        3600,
    ]


def test_an_unknown_key_is_refused_by_name_with_a_suggestion(toml):
    toml.write_text(toml.read_text() + "horizont = 3\n")
    assert refused({}, toml) == f"{toml}: unknown key 'horizont'; did you mean 'horizon'?"


def test_what_is_missing_is_named_as_option_and_as_key():
    assert refused({}) == "--data is missing; give it, or data in the file of --config"


def test_a_file_that_is_not_toml_is_refused(toml):
    toml.write_text("horizon: 24\n")
    assert "cannot be read as TOML" in refused({}, toml)
    assert "cannot be read as TOML" in refused({}, toml.with_name("none.toml"))


@pytest.mark.parametrize(
    "options",
    [
        {"horizon": 0}, {"horizon": True}, {"horizon": 1.5}, {"horizon": "24"}, {"quantiles": [0.5, 0.1]}, {"quantiles": [0.0]},
        {"frequency": "soon"}, {"test_from": "2018-13-01"}, {"name": "../up"}, {"cell": "mlp"}, {"target": []},
        {"learning_rate": float("inf")}, {"seasons": [1]}, {"burn_in": 400}, {"covariates": ["y"]}, {"unknown": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_choice_that_makes_no_sense_is_refused_in_one_line(options):
    assert refused(LEAST | options)


def test_a_value_is_blamed_on_the_place_it_came_from(toml):
    assert refused({"horizon": 0}, toml).startswith("--horizon: ")
    toml.write_text(toml.read_text().replace("24", "0"))
    assert refused({}, toml).startswith(f"{toml}: horizon: ")


def test_a_configuration_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        read_config(None, LEAST).horizon = 3


def test_every_choice_is_described():
    assert all(field.description for field in FitConfig.model_fields.values())
