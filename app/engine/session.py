"""What is known of one session besides its state vector, and where it is on its time grid."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import msgspec

OnGap = Literal["reject", "missing"]
Reason = Literal["closed", "expired", "evicted"]


class Key(NamedTuple):
    """Whose session, and which."""

    tenant: str
    id: str


class Session(msgspec.Struct, frozen=True):
    """One session. Times are epoch seconds, `step` counts the observations so far, `metadata` is the client's own.

    An `incarnation` tells this session from others that had the same id before.
    """

    incarnation: int
    model: str
    version: str
    start: int
    frequency: int
    step: int
    on_gap: OnGap
    created_at: float
    active_at: float
    metadata: bytes

    def time_of(self, step: int) -> int:
        """The grid time of a step; `start` is the time of step 1."""
        return self.start + (step - 1) * self.frequency

    @property
    def time(self) -> int:
        """The time of the last step; one frequency before `start` where there was none."""
        return self.time_of(self.step)

    @property
    def next_time(self) -> int:
        return self.time_of(self.step + 1)

    def advanced(self, steps: int, now: float) -> Self:
        """The same session some steps later."""
        return msgspec.structs.replace(self, step=self.step + steps, active_at=now)

    def pack(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        return msgspec.msgpack.decode(data, type=cls)


class Ending(msgspec.Struct, frozen=True):
    """How and when a session ended."""

    reason: Reason
    at: float

    def pack(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        return msgspec.msgpack.decode(data, type=cls)
