"""Settings come from variables and options; what is malformed is named with its value, in one line."""

from __future__ import annotations

import pytest

from app.settings import Settings, SettingsError


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
