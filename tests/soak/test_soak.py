"""A minute of the day that `python -m tests.soak` simulates, and what its verdict notices."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from dataclasses import replace

import pytest

from tests.service.lab import ROOT
from tests.soak.__main__ import soak
from tests.soak.watch import Sample, growth, piled_up

STEADY = Sample(
    seconds=0,
    steps=0,
    resident_mib=150,
    anonymous_mib=70,
    files=25,
    threads=4,
    store_mib=12,
    used_mib=10,
    live=500,
    gone=90,
)


def test_sessions_come_go_and_break_off_and_every_answer_is_right(tmp_path):
    options = Namespace(models=ROOT / "models", model="metro", steps=8000, sessions=200, clients=2, durability="sync")
    crowds, samples = soak(tmp_path, options)
    counts = sum((crowd.counts for crowd in crowds), Counter())
    assert [crowd.wrong for crowd in crowds] == [[], []]
    assert counts["steps"] >= 8000
    assert min(counts[what] for what in ("opened", "closed", "left", "holed")) > 0
    assert samples[-1].live == 200 + counts["left"]


def test_what_only_comes_and_goes_is_no_growth():
    assert growth([replace(STEADY, anonymous_mib=70 + i % 5, files=25 + i % 3) for i in range(60)]) == []


@pytest.mark.parametrize(("name", "each"), [("anonymous_mib", 0.5), ("files", 1), ("threads", 0.2), ("store_mib", 0.3)])
def test_what_grows_is_named(name, each):
    (grown,) = growth([replace(STEADY, **{name: getattr(STEADY, name) + each * i}) for i in range(60)])
    assert grown.startswith(f"{name} grew from ")


def test_ends_that_are_never_forgotten_are_noticed_however_fast_sessions_leave():
    def day(kept):
        return [
            replace(STEADY, seconds=10 * i, steps=2560 * i, live=400 + min(i, 12) * 10, gone=kept(i) * 20)
            for i in range(60)
        ]

    assert piled_up(day(lambda i: min(i, 12)), 400, 60, 256) == ""
    assert "ends are kept" in piled_up(day(lambda i: i), 400, 60, 256)
