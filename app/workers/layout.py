"""Where the workers' sessions lie in the data directory: `sessions.mdb` of one process, `workers-N/worker-K/sessions.mdb` of N."""

from __future__ import annotations

from pathlib import Path

from app.stores.base import StoreFailure
from app.stores.lmdb import FILE

PREFIX = "workers-"


def all_parts(directory: Path, workers: int) -> Path:
    """What holds the sessions of so many workers, and nothing else."""
    return directory / FILE if workers == 1 else directory / f"{PREFIX}{workers}"


def part(directory: Path, worker: int, workers: int) -> Path:
    """The data directory of one of the workers."""
    return directory if workers == 1 else all_parts(directory, workers) / f"worker-{worker}"


def found(directory: Path) -> list[int]:
    """The numbers of workers for which there are sessions here."""
    numbers = [path.name.removeprefix(PREFIX) for path in directory.glob(f"{PREFIX}*")]
    several = sorted(int(number) for number in numbers if number.isdecimal())
    return [1, *several] if (directory / FILE).exists() else several


def check(directory: Path, workers: int) -> None:
    """Raise StoreFailure where the sessions here were kept by another number of workers."""
    others = [number for number in found(directory) if number != workers]
    if others:
        kept = " and ".join(map(str, others))
        raise StoreFailure(
            f"the data directory {directory} holds the sessions of --workers {kept}, not {workers}; start with --workers {others[0]}, "
            f"or move the sessions: tidegate repartition --data-dir {directory} --workers {workers}"
        )
