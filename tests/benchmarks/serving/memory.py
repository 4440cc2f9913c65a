"""What a resident session takes: the server's own memory before and after thousands are opened."""

from __future__ import annotations

from pathlib import Path

from model.contract import METADATA_FILE, Bundle
from tests.benchmarks.serving.machine import private_bytes
from tests.benchmarks.serving.processes import tidegate
from tests.benchmarks.serving.sessions import open_sessions

BYTES_OF_FLOAT = 4
FIRST = 2000


def memory_of_sessions(models: Path, directory: str, core: int, count: int) -> float:
    """Bytes for each of `count` sessions, beyond those of the first ones that warm everything up."""
    with tidegate(models, directory, core, durability="none") as server:
        open_sessions(server, "first", FIRST, history=0)
        before = private_bytes(server.process.pid)
        open_sessions(server, "more", count, history=0)
        return (private_bytes(server.process.pid) - before) / count


def state_bytes(bundle_directory: Path) -> int:
    bundle = Bundle.from_json((bundle_directory / METADATA_FILE).read_text(encoding="utf-8"))
    return bundle.state_size * BYTES_OF_FLOAT
