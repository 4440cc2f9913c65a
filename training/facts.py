"""What a bundle records of its making. Nothing in it names a place on the machine that made it."""

from __future__ import annotations

import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training.checkpoint import Curve
from training.config import FitConfig
from training.dataset import Panel, Split
from training.ensemble import AnyFit
from training.options import PROGRAM
from training.times import format_time

PACKAGES = ("tidegate", "torch", "onnx", "onnxruntime", "numpy", "polars")
GIT = ("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD")
TIMES = ("validate_from", "test_from")


def facts(config: FitConfig, arguments: Sequence[str], digest: str, panel: Panel, split: Split) -> dict[str, Any]:
    """What was asked for: the command, the data (with their SHA-256), their parts, all options, the versions."""
    options = config.model_dump(mode="json")
    options |= {"data": portable(str(config.data)), "out": portable(str(config.out))}
    options |= {name: format_time(options[name]) for name in TIMES if options[name] is not None}
    versions = {name: found for name in PACKAGES if (found := _version(name))}
    return {
        "command": f"{PROGRAM} {shlex.join(map(portable, arguments))}",
        "data": {
            "file": config.data.name,
            "sha256": digest,
            "series": len(panel.series),
            "steps": len(panel),
            "filled": panel.filled,
        },
        "parts": _parts(panel, split),
        "options": options,
        "seed": config.seed,
        "versions": {"python": platform.python_version(), **versions},
        "commit": _commit(),
    }


def course(fit: AnyFit, curve: Curve, ending: str) -> dict[str, Any]:
    """How it went: steps taken, how it ended, the best validation loss, seconds of fitting."""
    return {
        "steps": fit.step,
        "ended": ending,
        "validation_loss": fit.best_loss,
        "seconds": round(curve.seconds, 1),
    }


def portable(argument: str) -> str:
    """An argument as another machine understands it: a path below the working directory relative to it, else its name."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    path = Path(value)
    if path.is_absolute():
        value = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
    return f"{option}{equals}{value}"


def _parts(panel: Panel, split: Split) -> dict[str, str]:
    """When each part begins, and when the data end."""

    def first(rows: tuple[int, ...]) -> str:
        return format_time(min(panel.time(one, row) for one, row in zip(panel.series, rows, strict=True)))

    return {
        "train_from": format_time(panel.start),
        "validate_from": first(split.validate_from),
        "test_from": first(split.test_from),
        "end": format_time(panel.end),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this code, where it lies in a git repository."""
    try:
        found = subprocess.run(GIT, capture_output=True, text=True, check=True)  # noqa: S603 - a constant command
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
