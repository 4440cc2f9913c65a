"""One worker's place among the others, while its application runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

from app.report import Report
from app.service import Service
from app.workers.link import Link
from app.workers.partition import Partition

LAST_SECONDS = 2.0


@asynccontextmanager
async def joined(worker: int, pairs: Mapping[int, socket.socket], service: Service) -> AsyncIterator[None]:
    """Do operations where they belong, through these sockets to the other workers, until the end of the block."""
    links = {other: Link(service, other, service.settings.queue_limit) for other in pairs}
    for other, link in links.items():
        await service.loop.create_unix_connection(partial(_channel, link), sock=pairs[other])
    partition = Partition(worker, service.batcher, links, service.subscriptions)
    service.worker = worker
    service.desk = partition
    service.subscriptions.on_unfollowed = partition.on_unfollowed
    service.others = partial(_reports, links)
    try:
        yield
    finally:
        for link in links.values():
            link.channel.close()
        with suppress(TimeoutError):  # that one does not read its answers
            async with asyncio.timeout(LAST_SECONDS):
                for link in links.values():
                    await link.channel.closed.wait()


def _channel(link: Link) -> asyncio.Protocol:
    return link.channel


async def _reports(links: Mapping[int, Link]) -> list[Report]:
    return await asyncio.gather(*(link.report() for link in links.values()))
