"""Transactions on disk before they are in the store: one write and one flush for each.

Two files take turns. While the store takes over what stands in one, the other is written; then the first is written again from
its start. Frames hold whole records, so after a crash what the store has already can be taken over once more, in the same order,
and nothing changes.

A frame is the length and the CRC-32 of its body; a body is the generation of the file, which grows with every turn, and the
changes in MessagePack. The first frame that does not match, or is of another generation, ends a file: it was not acknowledged, or
is left over from an earlier turn.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.stores.base import Changes, CorruptRecord, Place, Record, StoreError, StoreFailure, Table
from app.stores.directory import DataDirectory

FILES = ("journal-a", "journal-b")
HEAD = struct.Struct("<II")
GENERATION = struct.Struct("<Q")
FULL = (errno.ENOSPC, errno.EDQUOT)

Change = tuple[str, bytes, bytes | None]  # table, key, record; None: removed


class Journal:
    """Two new files in a data directory; those that were there must have been taken over and discarded."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._files = [os.open(path, flags, 0o600) for path in _paths(directory)]
        self._generation, self._end = 0, 0
        self._is_other_needed = False
        directory.sync()

    @property
    def size(self) -> int:
        """Bytes in the file that is written now."""
        return self._end

    def append(self, changes: Changes) -> None:
        """Bring changes to disk. Raises StoreError when it is full, and the journal is as before, or StoreFailure."""
        packed = [(place.table, place.key, record and record.encode()) for place, record in changes.items()]
        body = GENERATION.pack(self._generation) + msgspec.msgpack.encode(packed)
        frame = HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            self._write(frame)
        except OSError as error:
            if error.errno in FULL:
                raise StoreError("the disk is full; free some space, and writing goes on by itself") from error
            raise StoreFailure(f"the journal cannot be brought to disk: {error.strerror}") from error
        self._end += len(frame)

    def turn(self) -> None:
        """The store begins to take over all that was appended: from now on the other file is written, where it is free."""
        if not self._is_other_needed:
            self._generation, self._end = self._generation + 1, 0
            self._is_other_needed = True

    def taken_over(self) -> None:
        """The store has all that was appended before the last turn."""
        self._is_other_needed = False

    def close(self) -> None:
        for file in self._files:
            os.close(file)

    def _write(self, frame: bytes) -> None:
        file, written = self._files[self._generation % 2], 0
        while written < len(frame):
            written += os.pwrite(file, frame[written:], self._end + written)
        os.fdatasync(file)


def recovered(directory: DataDirectory) -> Iterator[Changes]:
    """The transactions that a process which did not end in order has left, oldest first."""
    frames = [frame for path in _paths(directory) if path.exists() for frame in _frames(path.read_bytes())]
    for _, body in sorted(frames, key=lambda frame: frame[0]):
        yield _changes(body)


def discard(directory: DataDirectory) -> None:
    """Remove a journal whose transactions are all in the store."""
    for path in _paths(directory):
        path.unlink(missing_ok=True)
    directory.sync()


def _paths(directory: DataDirectory) -> list[Path]:
    return [directory.path / name for name in FILES]


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The generation of a file and the changes of each of its frames."""
    start, first = 0, None
    while start + HEAD.size <= len(data):
        length, checksum = HEAD.unpack_from(data, start)
        body = data[start + HEAD.size : start + HEAD.size + length]
        if len(body) < max(length, GENERATION.size) or zlib.crc32(body) != checksum:
            return
        (generation,) = GENERATION.unpack_from(body)
        if first not in (None, generation):
            return
        yield generation, body[GENERATION.size :]
        first, start = generation, start + HEAD.size + length


def _changes(packed: bytes) -> Changes:
    try:
        found = msgspec.msgpack.decode(packed, type=list[Change])
        return {Place(Table(table), key): None if data is None else Record.decode(data) for table, key, data in found}
    except (msgspec.DecodeError, CorruptRecord, ValueError) as error:
        raise StoreFailure(f"the journal holds a transaction that this version cannot read: {error}") from error
