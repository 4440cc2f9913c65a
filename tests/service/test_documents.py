"""What is written about the service is so: every setting, every error code, every call, and the client in the documentation."""

from __future__ import annotations

import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from app import errors
from app.engine.session import Reason
from app.frames import AnyFrame, ServerFrame
from app.main import ENDPOINTS
from app.settings import PREFIX, Settings
from tests.bundles import expected
from tests.service.lab import ROOT

API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def refusals(kind=errors.Refusal):
    return {kind} | {below for child in kind.__subclasses__() for below in refusals(child)}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_names_and_default(name):
    option, default = f"--{name.replace('_', '-')}", Settings.model_fields[name].default
    assert f"| `{option}` | `{PREFIX}{name.upper()}` | `{default}` |" in CONFIGURATION


@pytest.mark.parametrize("kind", refusals(), ids=lambda kind: kind.code)
def test_every_error_code_is_documented_with_its_status(kind):
    assert f"| `{kind.code}` | {kind.status} |" in API


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_for_which_a_session_is_gone_is_documented(reason):
    (line,) = [line for line in API.splitlines() if line.startswith("| `session-gone` |")]
    assert f"`{reason}`" in line


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_call_is_documented(endpoint):
    assert f"{endpoint.method} {endpoint.path}" in API


def test_every_metric_is_documented(server):
    names = set(
        re.findall(r"^# TYPE (tidegate_\w+) (?:counter|gauge|histogram)", server.get("/metrics").text, re.MULTILINE)
    )
    assert {name for name in names if not name.endswith("_created")} - set(
        re.findall(r"tidegate_\w+", CONFIGURATION)
    ) == set()


def test_the_openapi_document_has_every_call_with_its_body_and_its_errors(server):
    document = server.get("/openapi.json").json()
    calls = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert calls == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    steps = document["paths"]["/v1/sessions/{id}/steps"]["post"]
    assert steps["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/StepsRequest")
    assert {"200", "404", "409", "410", "413", "422", "500", "503"} <= set(steps["responses"])
    schemas = document["components"]["schemas"]
    assert schemas["StepsRequest"]["properties"]["values"]["minItems"] == 1
    assert schemas["StepsRequest"]["additionalProperties"] is False
    used = set(re.findall(r'"#/components/schemas/(\w+)"', server.get("/openapi.json").text))
    assert used == set(schemas)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(path, server):
    page = server.get(path)
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script|<link|<img|https?://", page.text)
    assert "sum" in page.text or path == "/docs"


def test_the_first_page_says_how_to_begin_and_it_works_as_it_stands(server):
    (block,) = re.findall(r"<h2>Begin</h2><pre>(.*?)</pre>", server.get("/").text, re.DOTALL)
    answers = [
        json.loads(subprocess.run([*shlex.split(line), "--fail"], capture_output=True, check=True).stdout)
        for line in html.unescape(block).splitlines()
    ]
    assert [answer["step"] for answer in answers] == [0, 1, 1]


def test_the_page_of_the_api_has_every_call_and_every_frame(server):
    page = server.get("/docs").text
    for endpoint in ENDPOINTS:
        assert f"{endpoint.method}</code><code class=path>{endpoint.path}<" in page
    for kind in get_args(AnyFrame | ServerFrame):
        assert f"<td><code>{kind.__struct_config__.tag}</code></td>" in page
    assert "<td>query</td><td>integer, 1 to 1,000, by default 48</td>" in page  # of gates
    assert "`" not in page.partition("<h2>documents")[0]


def test_every_frame_is_documented():
    for kind in get_args(AnyFrame | ServerFrame):
        assert re.search(rf'"op":"{kind.__struct_config__.tag}"|`{kind.__struct_config__.tag}`', API), kind


def test_the_client_in_the_documentation_resumes(server, name, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", API, re.DOTALL)
    url = f"ws://127.0.0.1:{server.port}/v1/stream"
    server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1", "history": {"values": [1, 2]}})
    program = f"{code}\nasyncio.run(follow({url!r}, {name!r}, [1, 2, 3, 4]))\n"
    Path(tmp_path / "client.py").write_text(program)
    ended = subprocess.run(
        [sys.executable, tmp_path / "client.py"], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout.splitlines() == [f"{n} {expected([1, 2, 3, 4][:n])[0]}" for n in (3, 4)]
