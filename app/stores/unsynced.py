"""Data that was written without waiting for the disk can be trusted as long as the machine has not gone down since.

A marker in the data directory names the boot of the machine under which unsynced writing began; it is removed when everything
is on disk. Found after another boot, it says that the machine went down in between, and a file of pages may be torn.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from app.stores.directory import DataDirectory

logger = logging.getLogger(__name__)

MARKER = "unsynced"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Unsynced:
    """The marker of one data directory."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._marker = directory.path / MARKER

    @property
    def is_marked(self) -> bool:
        return self._marker.exists()

    def set_aside_torn(self, file: str) -> None:
        """Rename a file that may be torn, so that a new one takes its place; nothing is deleted."""
        if not self.is_marked or self._marker.read_text() == boot():
            return
        path = self._directory.path / file
        aside = path.with_name(f"{file}.untrusted-{int(time.time())}")
        if path.exists():
            path.rename(aside)
        self.unmark()
        logger.error(
            "the machine went down while %s was written with durability 'none'; it may be torn, was renamed to %s, and all "
            "sessions start anew",
            path,
            aside.name,
        )

    def mark(self) -> None:
        """Say that unsynced writing begins."""
        handle = os.open(self._marker, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, boot().encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        self._directory.sync()

    def unmark(self) -> None:
        """Say that everything is on disk."""
        self._marker.unlink(missing_ok=True)
        self._directory.sync()


def boot() -> str:
    """What names this run of the machine's kernel."""
    return BOOT_ID.read_text()
