"""A run on disk: what `--resume` needs to go on as if nothing had happened, under OUT/.runs/NAME until it has succeeded."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from training.config import FitConfig
from training.ensemble import AnyFit
from training.errors import InputError

RUNS = ".runs"  # hidden, so that a server of OUT does not take it for a model
FREE = {"out"}  # may be written differently when a run goes on


@dataclass(slots=True)
class Curve:
    """How a fit went: `loss` of every step, `validation` by step, and the seconds it took."""

    loss: list[float] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run of a configuration keeps its checkpoint and builds its bundle; `data` is the file's SHA-256."""

    config: FitConfig
    data: str

    @property
    def directory(self) -> Path:
        return self.config.out / RUNS / self.config.name

    @property
    def file(self) -> Path:
        return self.directory / "checkpoint.pt"

    def save(self, fit: AnyFit, curve: Curve) -> None:
        """Replace the checkpoint, at once or not at all."""
        draft = self.file.with_suffix(".new")
        course = {"loss": curve.loss, "validation": curve.validation, "seconds": curve.seconds}
        record = {"choices": self._choices(), "data": self.data, "fit": fit.checkpoint(), **course}
        with draft.open("wb") as file:
            torch.save(record, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.file)

    def restore(self, fit: AnyFit) -> Curve:
        """Take a fit to where the checkpoint left it; raises InputError when there is none, or it is of another run."""
        if not self.file.is_file():
            raise InputError(f"{self.file}: there is no interrupted run to go on with; leave --resume out")
        try:
            record: dict[str, Any] = torch.load(self.file, weights_only=True)
        except Exception as error:  # torch raises almost anything for a damaged file
            raise InputError(f"{self.file}: cannot be read ({type(error).__name__}); leave --resume out") from error
        if record["data"] != self.data:
            raise InputError(f"{self.config.data}: has changed since the interrupted run; leave --resume out")
        then, now = record["choices"], self._choices()
        for name in (name for name in now if then.get(name) != now[name]):
            text = f"is {now[name]}, but the interrupted run in {self.file} has {then.get(name)}"
            raise InputError(f"{name} {text}; give that, or leave --resume out")
        fit.restore(record["fit"])
        return Curve(record["loss"], record["validation"], record["seconds"])

    def prepare(self) -> None:
        """Make the directory of the run; raises InputError when OUT cannot be written."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / ".writable").touch()
            (self.directory / ".writable").unlink()
        except OSError as error:
            raise InputError(f"{self.config.out}: cannot be written ({error.strerror}); name another --out") from error

    def remove(self) -> None:
        """Forget the run, and the directory of runs when it was the last."""
        shutil.rmtree(self.directory)
        if not any(self.directory.parent.iterdir()):
            self.directory.parent.rmdir()

    def _choices(self) -> dict[str, Any]:
        return self.config.model_dump(mode="json", exclude=FREE)
