"""Settings come from variables and options; what is malformed is named with its value, in one line."""

from __future__ import annotations

import pytest

from app.__main__ import main
from app.settings import Settings, SettingsError
from training.options import Request, parse


def test_options_win_over_variables_and_these_over_defaults(tmp_path):
    settings = Settings.read({"TIDEGATE_PORT": "1", "TIDEGATE_WS_WINDOW": "7"}, {"models": str(tmp_path), "port": "2"})
    assert (settings.port, settings.ws_window, settings.models) == (2, 7, tmp_path)
    assert settings.tick_rows == Settings.model_fields["tick_rows"].default


@pytest.mark.parametrize(
    ("variables", "options", "complaint"),
    [
        ({"TIDEGATE_PORT": "http"}, {}, "TIDEGATE_PORT is 'http'"),
        ({"TIDEGATE_PORT": "1"}, {"port": "70000"}, "--port is '70000'"),
        ({}, {"models": "/nowhere"}, "--models is '/nowhere'"),
        ({}, {"ws_send_seconds": "0"}, "--ws-send-seconds is '0'"),
    ],
)
def test_the_setting_that_is_wrong_is_named(variables, options, complaint, tmp_path):
    with pytest.raises(SettingsError, match="^" + complaint.replace("-", "[-]")) as error:
        Settings.read(variables, {"models": str(tmp_path)} | options)
    assert "\n" not in str(error.value)


def test_who_serves_where_there_are_no_models_is_told_how_to_come_to_some(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # outside of a clone
    monkeypatch.delenv("TIDEGATE_MODELS", raising=False)
    assert main(["serve"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "tidegate: --models is 'models': path does not point to a directory; give --models or TIDEGATE_MODELS "
    )
    assert isinstance(parse(line.partition("python -m training ")[2].split()), Request)  # a command that there is
