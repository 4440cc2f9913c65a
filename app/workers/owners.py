"""Which worker owns a session: rendezvous hashing (Thaler and Ravishankar 1998), the same on every machine and in every run."""

from __future__ import annotations

from hashlib import shake_128
from struct import unpack

from app.engine.session import Key


def owner(key: Key, workers: int) -> int:
    """The worker, 0 to `workers` − 1, that weighs most for this session.

    A worker's weight is the same however many there are, so that of N sessions only about N / workers move when one more is added.
    """
    if workers == 1:
        return 0
    weights = unpack(f"<{workers}Q", shake_128(f"{key.tenant}\0{key.id}".encode()).digest(8 * workers))
    return weights.index(max(weights))
