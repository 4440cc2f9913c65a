"""What a measurement is made on: cores to pin to, CPU time of processes, and the facts that a result is worth nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[3]
TICKS = os.sysconf("SC_CLK_TCK")
MATTERS = (
    "fastapi",
    "lmdb",
    "msgspec",
    "numpy",
    "onnxruntime",
    "picows",
    "starlette",
    "torch",
    "uvicorn",
    "uvloop",
    "websockets",
)


@dataclass(frozen=True, slots=True)
class Cores:
    """The server's core and the client's, which are the same one where there is no other."""

    server: int
    client: int

    @classmethod
    def choose(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(server=cores[0], client=cores[-1])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run on this core alone; processes that are started meanwhile stay there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process so far, over all its threads."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def busy_seconds(core: int) -> float:
    """How long a core has worked so far, for whomever."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / TICKS


def private_bytes(pid: int) -> int:
    """The memory that a process alone has, without mapped files such as the store's."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def facts(cores: Cores) -> dict[str, object]:
    """When, where and with what a benchmark ran."""
    cpu = next((line.partition(":")[2].strip() for line in cpu_lines() if line.startswith("model name")), "unknown")
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": git("rev-parse", "--short", "HEAD"),
        "changed": sorted(line[3:] for line in git("status", "--short", "--", "app", "model").splitlines()),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "pinned": {"server": cores.server, "client": cores.client},
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in MATTERS},
    }


def cpu_lines() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.rstrip()
