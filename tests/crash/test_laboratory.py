"""A short stay in the laboratory: `python -m tests.crash` stays longer."""

from __future__ import annotations

import pytest

from tests.crash.laboratory import Experiment, run
from tests.service.lab import ROOT

FEW = {"model": "metro", "rest_clients": 3, "sockets": 2, "sessions_per_socket": 4, "longest_life_seconds": 1.0}
MODELS = ROOT / "models"


@pytest.mark.parametrize(("durability", "kills"), [("sync", 3), ("interval", 1), ("none", 1)])
def test_a_killed_server_keeps_its_word(durability, kills, tmp_path):
    result = run(Experiment(MODELS, durability=durability, kills=kills, **FEW), tmp_path)
    assert result.ledger.violations == []
    counts = result.ledger.counts
    assert counts["compared"] + counts["closed"] == counts["sessions"]
    fresh = sum(account.closed_at is None and account.step == 0 for account in result.ledger.accounts)
    assert counts["peeked"] == counts["compared"] - fresh > 0  # a session without a step has nothing to forecast
    assert counts["retried"] > 0
    assert counts["forecasts"] > 20
    assert counts["lost"] == 0 or durability == "interval"


def test_the_laboratory_notices_a_server_that_promises_more_than_it_does(tmp_path):
    broken = Experiment(
        MODELS,
        durability="interval",
        promise="sync",
        interval_seconds=3600,
        kills=1,
        **FEW | {"longest_life_seconds": 3.0},
    )
    ledger = run(broken, tmp_path).ledger
    assert ledger.counts["lost"] > 0
    assert any(violation.startswith("lost: ") for violation in ledger.violations)
