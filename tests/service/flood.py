"""Many connections that each send one step after the other, until a line comes in; prints how many answers had which status.

`python flood.py PORT CONNECTIONS SESSION`
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

BODY = b'{"values": [1], "forecast": false}'


async def flood(port: int, connections: int, session: str) -> None:
    request = (
        f"POST /v1/sessions/{session}/steps HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    )
    statuses: Counter[str] = Counter()
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    stop = asyncio.Event()
    asking = [asyncio.create_task(ask(reader, writer, request, statuses, stop)) for reader, writer in opened]
    print("all connected", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    stop.set()
    await asyncio.gather(*asking)
    print(json.dumps(statuses))


async def ask(reader, writer, request, statuses, stop) -> None:
    while not stop.is_set():
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        statuses[head.split()[1].decode()] += 1
        length = next(line for line in head.splitlines() if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()


asyncio.run(flood(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
