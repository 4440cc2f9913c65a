"""A data directory, which one process uses at a time."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from app.stores.base import StoreFailure

LOCK_FILE = "lock"


class DataDirectory:
    """A directory that exists and is ours until the end of the `with` block; raises StoreFailure when it cannot be.

    The lock is the operating system's: it ends with the process, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailure(
                f"the data directory {self.path} cannot be used: {error.strerror}; name another with --data-dir"
            ) from error
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def sync(self) -> None:
        """Make the names of files in the directory as durable as the files."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._lock, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            reason = f"in use by process {holder}" if error.errno == errno.EWOULDBLOCK else error.strerror
            raise StoreFailure(
                f"the data directory {self.path} is {reason}; stop that process, or name another with --data-dir"
            ) from error
        os.truncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
