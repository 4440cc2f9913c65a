"""Watch series with a running Tidegate server, and raise an alarm where an observation is a surprise.

    python examples/alert.py measurements.csv --time time --value load --series meter
    tail -n +1 -F measurements.csv | python examples/alert.py - --memory rules.json --webhook http://localhost:9000/alarms

Every series of the file is a session. A row's time is the identity of its step: a row that is sent again, after the connection
broke or after this program was started again, is recognised by the server and not counted twice. What the alarms' rule has
learned is kept in --memory. docs/alerting.md has the rule.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import itertools
import json
import math
import signal
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

BUSY = {"overloaded", "draining", "store-unavailable"}  # codes of refusals that pass
RETRY_SECONDS, WEBHOOK_SECONDS, SAVE_SECONDS = 1.0, 10.0, 1.0
HOUR = 3600
STRENGTH, SILENCE_HOURS, WARM_UP_HOURS = 7.5, 24.0, 168.0
SMALLEST = 1e-38  # of a surprise, before its logarithm
USUAL = 0.4342945  # mean and standard deviation of −log10 of a surprise where forecasts are calibrated
TRUSTED = 300  # scores that these two count for beside those of the session


@dataclass(frozen=True, slots=True)
class Row:
    series: str
    time: int  # epoch seconds
    value: float | None


@dataclass(frozen=True, slots=True)
class Alarm:
    session: str
    step: int
    time: str
    value: float | None
    surprise: float
    strength: float

    def __str__(self) -> str:
        what = f"{self.time}  {self.session}  {self.value:g}"
        return f"{what}  surprise {self.surprise:.1e}  strength {self.strength:.1f}"


class Refused(Exception):  # noqa: N818 - the server's answer, not a fault of ours
    """The server answered with an error frame."""


@dataclass(slots=True)
class Rule:
    """Which observations of a session are alarms.

    An observation's score is −log10 of its surprise, its strength the distance of the score from the mean of those before it, in
    their standard deviations: series differ in how often they surprise. It is an alarm from `strength` on, but not before
    `silent_until`, which each alarm moves `quiet_seconds` ahead of itself. What was judged already does not count again.
    """

    strength: float
    quiet_seconds: float
    silent_until: float  # epoch seconds
    count: int = TRUSTED
    total: float = TRUSTED * USUAL
    squares: float = TRUSTED * 2 * USUAL**2
    judged: int | None = None  # the newest moment, epoch seconds

    def learned(self) -> dict[str, Any]:
        """All but what the user chooses."""
        return {name: value for name, value in asdict(self).items() if name not in {"strength", "quiet_seconds"}}

    def judge(self, moment: int, surprise: float) -> float:
        """The strength of an alarm at `moment` (epoch seconds), 0 where there is none."""
        if self.judged is not None and moment <= self.judged:
            return 0.0
        self.judged = moment
        score = -math.log10(max(surprise, SMALLEST))
        mean = self.total / self.count
        strength = (score - mean) / math.sqrt(self.squares / self.count - mean**2)
        self.count, self.total, self.squares = self.count + 1, self.total + score, self.squares + score**2
        if strength < self.strength or moment < self.silent_until:
            return 0.0
        self.silent_until = moment + self.quiet_seconds
        return strength


class Rules:
    """The rule of every session. What they have learned is kept in a file, if there is one, for when the program starts again.

    A rule is of one incarnation of a session: one that begins anew under the same id is learned anew.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._new = partial(Rule, options.strength, options.quiet * HOUR)
        self._warm_up, self._path = options.warm_up * HOUR, options.memory
        self._rules: dict[str, tuple[str, Rule]] = {}  # incarnation and rule, by session
        self._saved = time.monotonic()
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def of(self, name: str, session: dict[str, Any]) -> Rule:
        """The rule of an opened session, as it was kept or a new one."""
        incarnation, rule = self._rules.get(name, ("", None))
        if rule is None or incarnation != session["incarnation"]:
            rule = self._new(silent_until=session["start"] + self._warm_up)
            self._rules[name] = session["incarnation"], rule
        return rule

    def save(self, *, at_once: bool) -> None:
        """Write what was learned, otherwise than at once no more than once a second. A failure is told, and stops nothing."""
        if self._path is None or not (at_once or time.monotonic() > self._saved + SAVE_SECONDS):
            return
        kept = {name: {"incarnation": of, **rule.learned()} for name, (of, rule) in self._rules.items()}
        new = self._path.with_name(self._path.name + ".new")
        try:
            new.write_text(json.dumps(kept), encoding="utf-8")
            new.replace(self._path)  # so that there is a whole file at any time
        except OSError as error:
            print(f"what was learned is not kept: {error}", file=sys.stderr, flush=True)
        self._saved = time.monotonic()

    def close(self) -> None:
        self.save(at_once=True)

    def _read(self, path: Path) -> None:
        try:
            for name, learned in json.loads(path.read_text(encoding="utf-8")).items():
                self._rules[name] = learned.pop("incarnation"), self._new(**learned)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            sys.exit(f"{path} is no memory of this program ({error}); name another file, or delete it to learn anew")


class Server:
    """Sessions of a server over one WebSocket, which is opened again whenever it breaks."""

    def __init__(self, url: str, model: str | None) -> None:
        self._url = url.replace("http", "ws", 1).rstrip("/") + "/v1/stream"
        self._model = {"model": model} if model else {}
        self._socket: ClientConnection | None = None
        self._lifetime = contextlib.ExitStack()  # the socket's
        self._numbers = itertools.count(1)
        self._opened: dict[str, dict[str, Any]] = {}  # over this socket

    def session(self, row: Row) -> dict[str, Any]:
        """The session of a row's series as it was found, or begun with this row."""
        if row.series not in self._opened:
            begin = {"id": row.series, "start": row.time, "on_gap": "missing", "if_exists": "return", **self._model}
            try:
                self._opened[row.series] = self._ask("open", **begin)
            except Refused as error:
                sys.exit(f"no session for {row.series}: {error}")
        return self._opened[row.series]

    def observe(self, row: Row) -> dict[str, Any] | None:
        """The reply to a row, sent until there is one; None where the session was past it. Raises Refused."""
        while True:
            try:
                session = self.session(row)
                if row.time < session["next_time"] - session["frequency"]:
                    return None
                return self._ask("step", session=row.series, time=row.time, values=[row.value], forecast=False)
            except (OSError, WebSocketException) as error:
                print(f"not connected, trying again: {error}", file=sys.stderr, flush=True)
                self.close()
                time.sleep(RETRY_SECONDS)

    def close(self) -> None:
        self._lifetime.close()
        self._socket = None
        self._opened.clear()

    def _ask(self, op: str, **fields: Any) -> dict[str, Any]:
        while True:
            if self._socket is None:
                self._socket = self._lifetime.enter_context(connect(self._url))
            number = next(self._numbers)
            self._socket.send(json.dumps({"op": op, "ref": number, **fields}))
            reply: dict[str, Any] = json.loads(self._socket.recv())
            while reply.get("ref") != number:  # the server says by itself that it is about to go
                reply = json.loads(self._socket.recv())
            if reply["op"] != "error":
                return reply
            if reply["code"] not in BUSY:
                raise Refused(f"{reply['code']}: {reply['detail']}")
            time.sleep(RETRY_SECONDS)


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops the program so wants the rules kept, too
    server, rules = Server(options.url, options.model), Rules(options)
    ending = contextlib.suppress(KeyboardInterrupt)
    with contextlib.closing(server), contextlib.closing(rules), ending, _opened(options.source) as lines:
        for row in _rows(lines, options):
            _watch(row, server, rules, options.webhook)


def _watch(row: Row, server: Server, rules: Rules, webhook: str | None) -> None:
    """Send a row, and raise an alarm where the rule finds one."""
    try:
        reply = server.observe(row)
    except Refused as error:
        print(f"{row}: {error}", file=sys.stderr, flush=True)
        return
    if reply is None:
        return
    alarm = _judge(row, reply, rules.of(row.series, server.session(row)))
    if alarm is not None:
        print(alarm, flush=True)
        if webhook:
            _post(webhook, alarm)
    rules.save(at_once=alarm is not None)


def _judge(row: Row, reply: dict[str, Any], rule: Rule) -> Alarm | None:
    (surprise,) = reply["surprise"]
    strength = 0.0 if surprise is None else rule.judge(row.time, surprise)
    moment = f"{datetime.fromtimestamp(row.time, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Alarm(row.series, reply["step"], moment, row.value, surprise, round(strength, 1)) if strength else None


def _post(url: str, alarm: Alarm) -> None:
    body = json.dumps(asdict(alarm)).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - the user's own address
    try:
        urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS).close()  # noqa: S310 - see above
    except OSError as error:
        print(f"{url} did not take {alarm}: {error}", file=sys.stderr, flush=True)


def _opened(source: str) -> contextlib.AbstractContextManager[Iterable[str]]:
    """The lines of a file, of a compressed one, or of standard input."""
    if source == "-":
        return contextlib.nullcontext(sys.stdin)
    if source.endswith(".gz"):
        return gzip.open(source, "rt", encoding="utf-8", newline="")
    return Path(source).open(encoding="utf-8", newline="")


def _rows(lines: Iterable[str], options: argparse.Namespace) -> Iterator[Row]:
    records = csv.DictReader(lines)
    for name in filter(None, (options.time, options.value, options.series)):
        if name not in (records.fieldnames or ()):
            sys.exit(f"no column {name!r} in {records.fieldnames}; name columns with --time, --value and --series")
    for record in records:
        value = record[options.value].strip()
        series = record[options.series] if options.series else options.session
        yield Row(series, _epoch(record[options.time]), float(value) if value else None)


def _epoch(text: str) -> int:
    """Epoch seconds from these themselves or from ISO 8601, which is UTC where it names no zone."""
    if text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a CSV file with a header, or - for standard input")
    parser.add_argument("--url", default="http://localhost:8000", help="the server (%(default)s)")
    parser.add_argument("--model", help="which model; without it the server's first")
    parser.add_argument("--time", default="time", help="the column of times (%(default)s)")
    parser.add_argument("--value", default="value", help="the column of observations (%(default)s)")
    parser.add_argument("--series", help="a column that names the session of each row")
    parser.add_argument("--session", default="watched", help="the session without --series (%(default)s)")
    parser.add_argument("--strength", type=float, default=STRENGTH, help="of the weakest alarm (%(default)s)")
    parser.add_argument(
        "--quiet", type=float, default=SILENCE_HOURS, help="hours of silence after an alarm (%(default)s)"
    )
    parser.add_argument(
        "--warm-up", type=float, default=WARM_UP_HOURS, help="hours of a session without alarms (%(default)s)"
    )
    parser.add_argument("--memory", type=Path, help="a file for what the rule has learned, to go on with it")
    parser.add_argument("--webhook", help="where each alarm is posted as JSON")
    return parser


if __name__ == "__main__":
    main()
