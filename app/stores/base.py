"""Where sessions outlive a tick: ordered tables of records, changed in transactions."""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

import msgspec

VERSION = 1
_PREFIX = struct.Struct("<BII")  # version, CRC-32 of all that follows it, length of the header

Durability = Literal["sync", "interval", "none"]


class StoreError(Exception):
    """The store cannot read or keep records now, and may again later; nothing of the transaction was kept."""


class StoreFailure(Exception):  # noqa: N818 - a failure of the machine, not of a call
    """What the store has promised may not be true any more. The process must end and start again from what is on disk."""


class CorruptRecord(StoreError):  # noqa: N818 - the name says what was found
    """A record is not what was written."""


class Table(StrEnum):
    """The tables of a store."""

    LIVE = "live"
    GONE = "gone"


class Place(NamedTuple):
    """Where a record is kept: keys are ordered within their table."""

    table: Table
    key: bytes


class Record(msgspec.Struct, frozen=True):
    """What is kept in one place: a header that its owner packs and unpacks, and raw state bytes."""

    header: bytes
    state: bytes = b""

    def encode(self) -> bytes:
        """The record as bytes, versioned and checksummed."""
        length = struct.pack("<I", len(self.header))
        checksum = zlib.crc32(self.state, zlib.crc32(self.header, zlib.crc32(length)))
        return b"".join((_PREFIX.pack(VERSION, checksum, len(self.header)), self.header, self.state))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The record that `encode` wrote; raises CorruptRecord when a byte differs or the version is unknown."""
        if len(data) < _PREFIX.size:
            raise CorruptRecord(f"a record of {len(data)} bytes is cut off, expected at least {_PREFIX.size}")
        version, checksum, length = _PREFIX.unpack_from(data)
        if version != VERSION:
            raise CorruptRecord(f"a record has version {version}, this program reads {VERSION}")
        if zlib.crc32(data[_PREFIX.size - 4 :]) != checksum:
            raise CorruptRecord("a record does not match its checksum")
        end = _PREFIX.size + length
        return cls(header=data[_PREFIX.size : end], state=data[end:])


Puts = Mapping[Place, Record]
Changes = dict[Place, Record | None]  # None: removed
Found = tuple[bytes, Record | None]


class Store(Protocol):
    """Tables of records. One thread uses it; every method may raise StoreError and StoreFailure.

    What `commit` has returned from is as durable as `durability` says; see docs/durability.md.
    """

    @property
    def durability(self) -> Durability: ...

    def commit(self, puts: Puts, deletes: Iterable[Place]) -> None:
        """Remove and then write records as one transaction: all of it is kept, or none."""

    def get(self, place: Place) -> Record | None:
        """The record in a place, or None; raises CorruptRecord when it is damaged."""

    def scan(self, table: Table, prefix: bytes, after: bytes, limit: int) -> list[Found]:
        """At most `limit` keys that start with `prefix` and follow `after`, in order, with their records: None if damaged."""

    def count(self, table: Table) -> int:
        """How many records a table has, without looking at them."""

    def close(self) -> None:
        """Keep what is not kept yet and let go of it all; using the store afterwards is an error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Closing(ABC):
    """Closes a store at the end of a `with` block."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def split(changes: Changes) -> tuple[dict[Place, Record], list[Place]]:
    """What changes put, and what they remove."""
    puts = {place: record for place, record in changes.items() if record is not None}
    return puts, [place for place in changes if place not in puts]


def decode_or_none(data: bytes) -> Record | None:
    """A record, None when it is damaged."""
    try:
        return Record.decode(data)
    except CorruptRecord:
        return None


def prefix_end(prefix: bytes) -> bytes | None:
    """The least key above all keys that start with a prefix, None where there is none."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None
