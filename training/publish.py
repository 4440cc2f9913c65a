"""A bundle comes into sight whole or not at all: built beside the models, flushed to disk, renamed to its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.contract import VERSION_PATTERN


def next_version(models: Path, name: str) -> str:
    """The number after the highest that a name has."""
    taken = [int(path.name) for path in (models / name).glob("*") if VERSION_PATTERN.fullmatch(path.name)]
    return str(max(taken, default=0) + 1)


@contextmanager
def published(draft: Path, place: Path) -> Iterator[Path]:
    """An empty directory to fill, which becomes `place` when the block succeeds and vanishes when it does not."""
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        for path in (*draft.iterdir(), draft):
            flush(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(place)
        flush(place.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until a file's content, or a directory's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
