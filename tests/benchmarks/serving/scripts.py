"""What is said on the connections: single steps, columns, bodies, and what the floors and the other servers are asked."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from tests.benchmarks.serving.connections import Refused
from tests.benchmarks.serving.wires import check_success, post

LEVELS = [0.1, 0.5, 0.9]
OPTIONS = {"quantiles": LEVELS}
START = 1_700_000_000 // 3600 * 3600
CODECS = {"json": msgspec.json, "msgpack": msgspec.msgpack}


class Head(msgspec.Struct):
    """The part of a reply that says whose it is."""

    op: str = "stepped"
    ref: int = 0


@dataclass(slots=True)
class Members:
    """Sessions on a server and how many observations each has had; scripts that are not used at the same time share them."""

    names: list[str]
    steps: list[int] = field(default_factory=list)


def value(step: int) -> float:
    """An observation, never twice the same in a row."""
    return 3000.5 + 37 * step % 1000


class Frames:
    """Replies on a WebSocket are known by their `ref`, which is the lane."""

    def __init__(self, codec: str) -> None:
        self._encode = CODECS[codec].encode
        self._decode = CODECS[codec].Decoder(Head).decode

    def lane_of(self, reply: bytes) -> int:
        head = self._decode(reply)
        if head.op != "stepped":
            raise Refused(reply, head.ref)
        return head.ref


class Steps(Frames):
    """Single steps with a forecast, one lane for each session; the server numbers them where they are not numbered."""

    weight = 1

    def __init__(self, members: Members, codec: str = "json", *, is_numbered: bool = True) -> None:
        super().__init__(codec)
        self.lanes = len(members.names)
        self._members = members
        self._is_numbered = is_numbered

    def request(self, lane: int) -> bytes:
        self._members.steps[lane] += 1
        step = self._members.steps[lane]
        return self._encode({
            "op": "step", "ref": lane, "session": self._members.names[lane], "step": step if self._is_numbered else None, "values": [value(step)],
            "forecast": OPTIONS,
        })  # fmt: skip


class Columns(Frames):
    """Frames of one observation for each session of a group, one lane for each group."""

    def __init__(self, groups: list[Members], codec: str, *, with_forecast: bool) -> None:
        super().__init__(codec)
        self.lanes, self.weight = len(groups), len(groups[0].names)
        self._groups = groups
        self._forecast = OPTIONS if with_forecast else False

    def request(self, lane: int) -> bytes:
        group = self._groups[lane]
        group.steps = [step + 1 for step in group.steps]
        return self._encode({
            "op": "steps", "ref": lane, "sessions": group.names, "values": [value(step) for step in group.steps],
            "steps": group.steps, "forecast": self._forecast,
        })  # fmt: skip


class Echo:
    """The same message again and again; replies come in the order of the requests."""

    weight = 1

    def __init__(self, message: bytes, lanes: int) -> None:
        self.lanes = lanes
        self._message = message
        self._under_way: deque[int] = deque()

    def request(self, lane: int) -> bytes:
        self._under_way.append(lane)
        return self._message

    def lane_of(self, _: bytes) -> int:
        return self._under_way.popleft()


class Posts:
    """POSTs on one connection, made anew each time."""

    lanes = 1

    def __init__(self, make: Callable[[], bytes], weight: int = 1) -> None:
        self.weight = weight
        self._make = make

    def request(self, _: int) -> bytes:
        return self._make()

    def lane_of(self, reply: bytes) -> int:
        check_success(reply)
        return 0


def steps_of(name: str, done: int, count: int) -> Callable[[], bytes]:
    """Bodies of `count` observations each for a session that has had `done`."""
    numbers = itertools.count(done + 1, count)

    def body() -> bytes:
        step = next(numbers)
        values = [value(step + i) for i in range(count)]
        return post(
            f"/v1/sessions/{name}/steps", msgspec.json.encode({"values": values, "step": step, "forecast": OPTIONS})
        )

    return body


def series(count: int, length: int) -> bytes:
    """A request for the forecasts of series, of which nothing is kept."""
    values = [[value(31 * one + step) for step in range(length)] for one in range(count)]
    asked = [{"start": START, "values": one} for one in values]
    return post("/v1/forecast", msgspec.json.encode({"series": asked, "quantiles": LEVELS}))


def histories(prefix: str, length: int) -> Callable[[], bytes]:
    """A new session with a history each time."""
    names = (f"{prefix}-{i}" for i in itertools.count())
    values = [value(step) for step in range(length)]

    def body() -> bytes:
        asked = {"id": next(names), "start": START, "history": {"values": values}}
        return post("/v1/sessions", msgspec.json.encode(asked))

    return body


class NaiveSteps(Frames):
    """Single steps for the naive server's WebSocket."""

    weight = 1

    def __init__(self, lanes: int) -> None:
        super().__init__("json")
        self.lanes = lanes

    def request(self, lane: int) -> bytes:
        return self._encode({"ref": lane, "session": f"session-{lane}", "value": value(lane)})


def naive_body(lane: int) -> Callable[[], bytes]:
    """Single steps for the naive server's POST."""
    body = post("/step", msgspec.json.encode({"ref": lane, "session": f"session-{lane}", "value": value(lane)}))
    return lambda: body
