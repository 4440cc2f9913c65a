"""A server with several workers, reached through each of them: the kernel gives a connection to any."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager

import httpx

from app.engine.session import Key
from app.workers.owners import owner
from tests.service.lab import serving, talk

WORKERS = 2
TRIES = 64  # that all of them lead to one of two workers would happen once in 2⁶³ times


@contextmanager
def serving_together(models, directory, **settings):
    """A server with several workers that are all ready."""
    with serving(models, directory, **{"workers": WORKERS, **settings}) as server:
        deadline = time.monotonic() + 30
        while server.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.05)
        yield server


@contextmanager
def clients(server):
    """An HTTP client for each worker."""
    found = {}
    with ExitStack() as stack:
        for _ in range(TRIES):
            client = stack.enter_context(httpx.Client(base_url=server.url, timeout=20))
            found.setdefault(client.get("/v1/info").json()["worker"], client)
            if len(found) == WORKERS:
                break
        yield [found[worker] for worker in range(WORKERS)]


@contextmanager
def sockets(server, subprotocol="tidegate.v1.json"):
    """A WebSocket to each worker."""
    found, counted = {}, sockets_of_workers(server)
    with ExitStack() as stack:
        for _ in range(TRIES):
            socket = stack.enter_context(talk(server, subprotocol))
            before, counted = counted, sockets_of_workers(server)
            (worker,) = (one for one in counted if counted[one] > before[one])
            found.setdefault(worker, socket)
            if len(found) == WORKERS:
                break
        yield [found[worker] for worker in range(WORKERS)]


def sockets_of_workers(server):
    text = server.get("/metrics").text
    return {
        int(worker): float(n) for worker, n in re.findall(r'^tidegate_sockets{worker="(\d)"} (.+)$', text, re.MULTILINE)
    }


def owned_by(worker, prefix, count=1, workers=WORKERS):
    """Ids of sessions that belong to a worker."""
    names = (f"{prefix}.{number}" for number in range(1000))
    return [one for one in names if owner(Key("", one), workers) == worker][:count]
