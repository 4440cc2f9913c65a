"""The system calls of a running server, watched, or made to fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\((\d+)<([^>]*)>| resumed>)")
RESULT = re.compile(r"\) += (-?\d+)")
ATTACHED = b"attached"
WATCHED = "write,writev,pwrite64,pwritev,fdatasync,fsync,read,recvfrom,sendto,sendmsg"


@pytest.fixture(scope="session")
def strace() -> None:
    """The tool may look at processes, or the tests that need it are skipped, with the reason."""
    if shutil.which("strace") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "strace"]):
            subprocess.run(command, check=False, capture_output=True)
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace may not look at processes here: {tried.stderr.strip()[:200]}")


@contextmanager
def traced(pid: int, log: Path, *options: str) -> Iterator[None]:
    """All threads of a process under strace until the block ends; what it sees goes to `log`."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-yy", "-s", "160", "-o", log, *options, "-p", str(pid)], stderr=subprocess.PIPE
    )
    try:
        line = tracer.stderr.readline()
        assert ATTACHED in line, line
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)


def events(log: Path, files: Sequence[str]) -> Iterator[str]:
    """What a trace says of these files of the store and of the network, in order.

    `arrived` bytes came from a client; `written` to a file, not yet on disk; `synced` all that was written; `answered` a step.
    """
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        found = CALL.match(line)
        if found is None:
            continue
        call, handle, path = found.groups()
        thread, result = line.split(" ", 1)[0], RESULT.search(line)
        if handle is None:
            kind = begun.pop(thread, "")
        else:
            kind = _kind(call, path, line, files)
            if kind in {"written", "answered"}:  # these count from where they begin, the others from where they end
                yield kind
                continue
            begun[thread] = kind
        if kind and result and int(result[1]) >= (1 if kind == "arrived" else 0):
            yield kind


def _kind(call: str, path: str, line: str, files: Sequence[str]) -> str:
    if path.endswith(tuple(files)):
        if "sync" in call:
            return "synced"
        return "written" if "write" in call else ""
    if path.startswith("TCP"):
        if call in {"read", "recvfrom"}:
            return "arrived"
        return "answered" if '\\"applied\\":1' in line else ""
    return ""
