"""What a process holds, measured from outside while it runs, and whether that grows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, fields
from pathlib import Path

import lmdb
import psutil

from app.stores.lmdb import FILE, TABLES

MIB = 2**20
WARM = 0.25  # the first part of a run, while everything reaches its usual size
SLACK = {"anonymous_mib": 8, "files": 4, "threads": 1, "store_mib": 2}  # what is no growth yet
GROWTH = 1.05
LOOSE = 200  # sessions that may be on their way
LATE_SECONDS = 60  # so much later than due a session ends, or its end is forgotten, at most


@dataclass(frozen=True, slots=True)
class Sample:
    """A process and its store at one moment. `live` and `gone` count records, `anonymous_mib` is memory that is no file's."""

    seconds: float
    steps: int
    resident_mib: float
    anonymous_mib: float
    files: int
    threads: int
    store_mib: float
    used_mib: float
    live: int
    gone: int


class Watch:
    """Looks at a process and, as a second reader, into its store's file."""

    def __init__(self, pid: int, data: Path) -> None:
        self._process = psutil.Process(pid)
        self._path = data / FILE
        self._env = lmdb.open(str(self._path), subdir=False, readonly=True, max_dbs=len(TABLES), map_size=2**40)
        self._tables = {name: self._env.open_db(name.encode(), create=False) for name in TABLES}

    def sample(self, seconds: float, steps: int) -> Sample:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.endswith("kB")}
        with self._env.begin() as txn:
            stats = {name: txn.stat(table) for name, table in self._tables.items()}
        pages = sum(one["branch_pages"] + one["leaf_pages"] + one["overflow_pages"] for one in stats.values())
        return Sample(
            seconds=seconds,
            steps=steps,
            resident_mib=sizes["VmRSS"] / 1024,
            anonymous_mib=sizes["RssAnon"] / 1024,
            files=self._process.num_fds(),
            threads=self._process.num_threads(),
            store_mib=self._path.stat().st_size / MIB,
            used_mib=pages * stats["live"]["psize"] / MIB,
            live=stats["live"]["entries"],
            gone=stats["gone"]["entries"],
        )

    def close(self) -> None:
        self._env.close()


def growth(samples: list[Sample]) -> list[str]:
    """What grew: the last third of the samples after the warm-up against the first third."""
    warm = samples[int(len(samples) * WARM) :]
    third = max(1, len(warm) // 3)
    grown = []
    for name, slack in SLACK.items():
        before, after = (statistics.median(getattr(s, name) for s in part) for part in (warm[:third], warm[-third:]))
        if after > before * GROWTH + slack:
            grown.append(f"{name} grew from {before:.1f} to {after:.1f}")
    return grown


def piled_up(samples: list[Sample], in_use: int, kept_seconds: float, steps_each: int) -> str:
    """Whether more is kept than what left lately: where every `steps_each` steps one session is closed and one left behind,
    and both what is left and what ended is kept for `kept_seconds`.
    """
    window = kept_seconds + LATE_SECONDS
    for now in samples:
        left = (now.steps - steps_at(samples, now.seconds - window)) / steps_each
        ended = 2 * (now.steps - steps_at(samples, now.seconds - 2 * window)) / steps_each
        if now.live > in_use + left + LOOSE or now.gone > ended + LOOSE:
            return f"after {now.seconds:.0f} s {now.live} sessions live and {now.gone} ends are kept"
    return ""


def steps_at(samples: list[Sample], seconds: float) -> int:
    """How many steps were done at the last sample before."""
    return max((sample.steps for sample in samples if sample.seconds <= seconds), default=0)


def header() -> str:
    return " ".join(f"{field.name:>13}" for field in fields(Sample))


def row(sample: Sample) -> str:
    values = (getattr(sample, field.name) for field in fields(Sample))
    return " ".join(f"{value:13,.1f}" if isinstance(value, float) else f"{value:13,}" for value in values)
