"""The server that most tests of the service share."""

from __future__ import annotations

import re

import pytest

from tests.service.lab import serving


@pytest.fixture(scope="session")
def server(models_dir, tmp_path_factory):
    """The server that most tests share; each names sessions of its own."""
    with serving(models_dir, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def name(request):
    """A session id of the test's own."""
    return re.sub("[^A-Za-z0-9_.-]", "_", request.node.name)[:100]
