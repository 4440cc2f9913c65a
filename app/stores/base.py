"""Where sessions outlive a tick: an ordered map of keys to records, changed in transactions."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

VERSION = 1
_PREFIX = struct.Struct("<BII")  # version, CRC-32 of all that follows it, length of the header


class StoreError(Exception):
    """The store cannot read or keep records now; nothing of the transaction was kept."""


class CorruptRecord(StoreError):  # noqa: N818 - the name says what was found
    """A record is not what was written."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept under one key: a header that its owner packs and unpacks, and raw state bytes."""

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


class Store(Protocol):
    """An ordered map of keys to records. One thread uses it; every method may raise StoreError."""

    durability: str

    def commit(self, puts: Mapping[bytes, Record], deletes: Iterable[bytes]) -> None:
        """Remove and write records as one transaction: all of it is kept, or none."""

    def get(self, key: bytes) -> Record | None:
        """The record under a key, or None."""

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, Record]]:
        """At most `limit` records whose keys start with `prefix` and follow `after`, in the order of their keys."""

    def count(self, prefix: bytes) -> int:
        """How many keys start with a prefix."""

    def close(self) -> None:
        """Let go of what the store holds; using it afterwards is an error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
