"""A client that does the server no favours, as a program of its own that is ended from outside.

    python -m tests.benchmarks.serving.adversary PORT slow|steps|columns PREFIX

`slow` asks for more than it reads, `steps` and `columns` ask as fast as the server lets them. The sessions PREFIX-0, PREFIX-1, …
must be there. Frames are written once and sent again and again, so that this program needs next to no CPU time.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
import time

SINGLES, WIDE = 256, 1024
REPEATS = 20
TRICKLE_BYTES, TRICKLE_SECONDS = 16_384, 0.1
NICENESS = 5


def main(port: int, kind: str, prefix: str) -> None:
    os.nice(NICENESS)
    data = b"".join(map(masked, FRAMES[kind](prefix))) * REPEATS
    wire = connect(port)
    threading.Thread(target=send_for_ever, args=(wire, data), daemon=True).start()
    size, pause = (TRICKLE_BYTES, TRICKLE_SECONDS) if kind == "slow" else (2**20, 0.0)
    while wire.recv(size):
        time.sleep(pause)


def singles(prefix: str) -> list[bytes]:
    """Single steps of many sessions; the server numbers them."""
    return [json.dumps({"op": "step", "session": f"{prefix}-{i}", "values": [3000.5]}).encode() for i in range(SINGLES)]


def columns(prefix: str) -> list[bytes]:
    """One observation for each of many sessions, with forecasts."""
    names = [f"{prefix}-{i}" for i in range(WIDE)]
    return [json.dumps({"op": "steps", "sessions": names, "values": [3000.5] * WIDE}).encode()]


FRAMES = {"slow": singles, "steps": singles, "columns": columns}


def masked(payload: bytes) -> bytes:
    """A text frame as clients send it (RFC 6455); its mask is zero, which leaves the payload as it is."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
    return b"\x81" + length + bytes(4) + payload


def connect(port: int) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", port))
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
    wire.sendall(
        f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n".encode()
    )
    while b"\r\n\r\n" not in wire.recv(4096):
        pass
    return wire


def send_for_ever(wire: socket.socket, data: bytes) -> None:
    while True:
        wire.sendall(data)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
