"""Which worker owns a session: rendezvous hashing (Thaler and Ravishankar 1998), the same on every machine and in every run."""

from __future__ import annotations

from hashlib import shake_128
from struct import unpack

from app.engine.places import stored_key
from app.engine.session import Key


def owner(key: Key, workers: int) -> int:
    """The worker, 0 to `workers` − 1, that owns this session."""
    return owner_of_stored(stored_key(key), workers)


def owner_of_stored(key: bytes, workers: int) -> int:
    """The worker that weighs most for a session, whose key is as it is stored.

    A worker's weight is the same however many there are, so that only one session in `workers` moves when a worker is added.
    """
    weights = unpack(f"<{workers}Q", shake_128(key).digest(8 * workers))
    return weights.index(max(weights))
