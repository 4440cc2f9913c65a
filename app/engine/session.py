"""What is known of one session besides its state vector, and where it is on its time grid."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.stores.base import CorruptRecord

OnGap = Literal["reject", "missing"]
Reason = Literal["closed", "expired", "damaged", "replaced"]

# What is known of a session, as engine and store keep it: the same size at every step, so that a record never outgrows its place.
FACTS = np.dtype([
    ("incarnation", "<u8"), ("start", "<i8"), ("frequency", "<i8"), ("step", "<i8"),
    ("created_at", "<f8"), ("active_at", "<f8"), ("fills_gaps", "?"),
])  # fmt: skip
Facts = NDArray[np.void]
NO_METADATA = b"{}"


class Key(NamedTuple):
    """Whose session, and which."""

    tenant: str
    id: str


class Build(msgspec.Struct, frozen=True):
    """Which model a session lives under; the fingerprint tells two builds of one version apart."""

    model: str
    version: str
    fingerprint: bytes


class Session(msgspec.Struct, frozen=True):
    """One session. Times are epoch seconds, `step` counts the observations so far, `metadata` is the client's own JSON.

    An `incarnation` tells this session from others that had the same id before.
    """

    build: Build
    incarnation: int
    start: int
    frequency: int
    step: int
    on_gap: OnGap
    created_at: float
    active_at: float
    metadata: bytes = NO_METADATA

    @property
    def model(self) -> str:
        return self.build.model

    @property
    def version(self) -> str:
        return self.build.version

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

    @property
    def facts(self) -> Facts:
        """The session as one row (1,) of FACTS."""
        row = (
            self.incarnation,
            self.start,
            self.frequency,
            self.step,
            self.created_at,
            self.active_at,
            self.on_gap == "missing",
        )
        return np.array([row], FACTS)

    @classmethod
    def of(cls, facts: Any, build: Build, metadata: bytes) -> Self:
        """The session that a row of FACTS describes."""
        incarnation, start, frequency, step, created_at, active_at, fills_gaps = facts.item()
        on_gap: OnGap = "missing" if fills_gaps else "reject"
        return cls(build, incarnation, start, frequency, step, on_gap, created_at, active_at, metadata)


def pack_tail(build: Build, metadata: bytes) -> bytes:
    """What follows the facts in a stored header and stays as it is."""
    return msgspec.msgpack.encode((build, metadata))


def unpack(header: bytes) -> tuple[Facts, Build, bytes]:
    """Facts (1,), build and metadata of a stored header; raises CorruptRecord when it is none."""
    try:
        facts = np.frombuffer(header[: FACTS.itemsize], FACTS, 1)
        build, metadata = msgspec.msgpack.decode(header[FACTS.itemsize :], type=tuple[Build, bytes])
    except (ValueError, msgspec.DecodeError) as error:
        raise CorruptRecord(f"a session's record cannot be read: {error}") from error
    return facts, build, metadata


class Ending(msgspec.Struct, frozen=True):
    """How and when a session ended."""

    reason: Reason
    at: float

    def pack(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Raises CorruptRecord for what `pack` did not write."""
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise CorruptRecord(f"the record of a session's end cannot be read: {error}") from error
