"""What a person sees while a fit runs: a live bar on a terminal, a line per validation elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training import loop

SMOOTHING = 0.95  # of the loss shown


class Display:
    """Follows a fit; entered and left around it."""

    def __init__(self, console: Console, steps: int, done: int = 0) -> None:
        self.console, self.done, self.began = console, done, time.monotonic()
        self.loss: float | None = None
        columns = (
            TextColumn("fit"), BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TextColumn("loss {task.fields[loss]}  validation {task.fields[validation]}"),
            TimeRemainingColumn(compact=True), TextColumn("left"),
        )  # fmt: skip
        self.live = Progress(*columns, console=console)
        self.task = self.live.add_task("fit", total=steps, completed=done, loss="–", validation="–")

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def show(self, progress: loop.Progress) -> None:
        """Show where the fit stands."""
        before = progress.loss if self.loss is None else self.loss
        self.loss = SMOOTHING * before + (1 - SMOOTHING) * progress.loss
        if self.console.is_terminal:
            self.live.update(self.task, completed=progress.step, total=progress.steps, loss=f"{self.loss:.4f}")
        if progress.validation is None:
            return
        if self.console.is_terminal:
            self.live.update(self.task, validation=f"{progress.validation:.4f}")
        else:
            self.console.print(self._line(progress))

    def _line(self, progress: loop.Progress) -> str:
        seconds = (time.monotonic() - self.began) / (progress.step - self.done) * (progress.steps - progress.step)
        mark = " (best)" if progress.validation == progress.best else ""
        place = f"step {progress.step:,} of {progress.steps:,}"
        return f"{place}  loss {self.loss:.4f}  validation {progress.validation:.4f}{mark}  {seconds:.0f} s left"
