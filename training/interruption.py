"""Ctrl-C: the first one asks for an end, the second one is an end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interruption:
    """Whether an end was asked for."""

    asked: bool = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal; raises KeyboardInterrupt from the second one on."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within it, the first SIGINT is only noted; for the main thread, which alone receives signals."""
    interruption = Interruption()
    before = signal.signal(signal.SIGINT, interruption)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
