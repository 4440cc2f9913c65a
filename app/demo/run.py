"""The demo's story: start a server, stream the held-out months to it, show how well it forecasts, leave it running."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.demo.observations import Series, read
from app.demo.score import Score, Tally
from app.demo.stream import WEEK, LiveSession, connected

HELD_OUT = "2018-05-01"
HORIZON = 24
STARTUP_S = 30


def run(models: Path, data: Path, port: int, *, once: bool) -> None:
    """Serve the models, stream to them and print what happened; without `once`, serve on until interrupted.

    Raises ValueError with the remedy when the data are not there or the server does not start.
    """
    console = Console()
    series = read(data)
    with served(models, port) as server:
        sessions = live_sessions(series)
        console.print()
        asyncio.run(stream(sessions, f"ws://127.0.0.1:{port}/v1/stream", console))
        console.print(curl_lines(sessions[-1].id, port), highlight=False, soft_wrap=True)
        if not once:
            console.print(f"Serving on http://127.0.0.1:{port} until Ctrl-C.")
            with suppress(KeyboardInterrupt):
                server.wait()


async def stream(sessions: Sequence[LiveSession], url: str, console: Console) -> None:
    """Run all sessions at once, with a table of their scores that follows them."""
    started = time.perf_counter()

    def scores() -> Table:
        return table(sessions, time.perf_counter() - started)

    with Live(get_renderable=scores, console=console, refresh_per_second=8):
        async with connected(url) as client:
            await asyncio.gather(*(session.run(client, HORIZON) for session in sessions))


def live_sessions(series: Series) -> list[LiveSession]:
    """A session for each held-out month."""
    first = date.fromisoformat(HELD_OUT)
    sessions = []
    while series.index(str(first)) < len(series) - WEEK:
        following = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        begin, end = series.index(str(first)), min(series.index(str(following)), len(series))
        sessions.append(LiveSession(f"demo-{first:%Y-%m}", series, begin, end, Score(season=WEEK, window=WEEK)))
        first = following
    return sessions


def table(sessions: Sequence[LiveSession], seconds: float) -> Table:
    """The scores of every session and of all together."""
    shown = Table(
        title=f"Forecasts {HORIZON} hours ahead of months never seen, scored as the truth arrives",
        title_justify="left",
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("session", "hours", "WQL", "weekly naive", "better by", "last 7 days", "80 % band"):
        shown.add_column(heading, justify="left" if heading == "session" else "right")
    overall, recent, hours = Tally(), Tally(), 0
    for session in sessions:
        done = session.score.steps - session.first if session.score.steps else 0
        shown.add_row(session.id, f"{done:,}", *_cells(session.score.overall, session.score.recent))
        overall.add(session.score.overall)
        recent.add(session.score.recent)
        hours += done
    shown.add_row("all", f"{hours:,}", *_cells(overall, recent), style="bold")
    shown.caption = (
        f"{hours / seconds:,.0f} steps/s, each with a forecast, on one socket\n"
        "WQL: weighted quantile loss, less is better. Weekly naive: the week before"
    )
    return shown


def curl_lines(session: str, port: int) -> str:
    """Three things to try against the running server."""
    base = f"http://127.0.0.1:{port}/v1"
    json = "-H 'content-type: application/json'"
    values = "610, 400, 330, 340, 760, 2300, 4700, 5900, 5200, 4600, 4500, 4700"
    return "\n".join([
        "",
        "Try it (each line is one command):",
        f"curl -s '{base}/sessions/{session}/forecast?horizon=6&quantiles=0.1,0.5,0.9'",
        f"curl -s {base}/sessions/{session}/steps {json} -d '{{\"values\": [2900], \"forecast\": {{\"horizon\": 3}}}}'",
        f'curl -s {base}/forecast {json} -d \'{{"series": [{{"start": "2018-10-01T00:00:00Z", "values": [{values}]}}], "horizon": 4}}\'',
        "",
    ])  # fmt: skip


@contextmanager
def served(models: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server process of our own that answers; it ends with the block."""
    if _ready(port):
        raise ValueError(f"port {port} is taken by another server: end that one, or choose another with --port")
    command = [
        sys.executable,
        "-m",
        "app",
        "serve",
        "--models",
        str(models),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--store",
        "memory",
    ]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    # In a process group of its own, so that Ctrl-C ends the stream first and then the server, which answers to the last.
    process = subprocess.Popen(command, process_group=0)  # noqa: S603 - our own program
    try:
        deadline = time.monotonic() + STARTUP_S
        while not _ready(port):
            if process.poll() is not None:
                raise ValueError(f"the server ended with code {process.returncode}; its last lines above say why")
            if time.monotonic() > deadline:
                raise ValueError(f"the server was not ready after {STARTUP_S} s; its last lines above may say why")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def _leave(number: int, _: FrameType | None) -> None:
    """End as if by ourselves, and the server with us."""
    raise SystemExit(128 + number)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _cells(overall: Tally, recent: Tally) -> list[str]:
    if not overall.count:
        return ["–"] * 5
    return [
        f"{overall.wql:.3f}",
        f"{overall.naive_wql:.3f}",
        _better(overall),
        _better(recent),
        f"{overall.coverage:.0%}",
    ]


def _better(tally: Tally) -> str:
    if not tally.naive_loss:
        return "–"
    share = 1 - tally.loss / tally.naive_loss
    return f"[{'green' if share > 0 else 'red'}]{share:.0%}[/]"
