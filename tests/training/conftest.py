"""A small file of history, and `python -m training` as people start it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def command(*arguments):
    return [sys.executable, "-m", "training", *map(str, arguments)]


def start(*arguments, **options):
    """The program, running."""
    return subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def rows(hours=260, names=("north", "south")):
    """Hourly series with a day's shape, weather and holidays; `south` begins late, and both lack some hours."""
    random = np.random.default_rng(0)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    lines = []
    for k, name in enumerate(names):
        for i in range(10 * k, hours):
            if 100 <= i < 103 or random.random() < 0.02:
                continue
            y = 20 * (k + 1) + 8 * np.sin(2 * np.pi * i / 24) + random.normal(0, 1)
            lines.append(
                f"{name},{first + timedelta(hours=i):%Y-%m-%d %H:%M},{y:.3f},{random.random():.2f},{i // 24 % 7 == 6:d}"
            )
    return ["site,time,load,rain,holiday", *lines]


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("\n".join(rows()) + "\n")
    return path
