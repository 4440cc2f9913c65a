"""The command line: `tidegate serve`, `tidegate demo`, `tidegate openapi`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from app.settings import PREFIX, Settings, SettingsError

METRO = Path("data/metro_traffic/metro_traffic.csv.gz")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return int(command(options))
    except (SettingsError, ValueError) as error:
        print(f"tidegate: {error}", file=sys.stderr)  # noqa: T201 - this is a command line
        return 2
    except KeyboardInterrupt:
        return 130


def _serve(options: dict[str, str]) -> int:
    settings = Settings.read(os.environ, options)
    # The server's modules take a second to load, which other commands and --help need not wait for.
    from app import log, server  # noqa: PLC0415

    log.set_up(settings.log_format)
    return server.serve(settings)


def _demo(options: dict[str, str | bool]) -> int:
    from app.demo import run, stream  # noqa: PLC0415 - see above

    models, data, once = Path(str(options["models"])), Path(str(options["data"])), bool(options["once"])
    try:
        run.run(models, data, int(options["port"]), once=once)
    except stream.Refused as refusal:
        raise ValueError(f"the demo cannot go on: {refusal}; the server's last lines above may say why") from refusal
    return 0


def _openapi(_: dict[str, str]) -> int:
    from app import encoding, main, openapi  # noqa: PLC0415 - see above

    document = openapi.document(main.ENDPOINTS, version("tidegate"))
    print(encoding.JSON.encode(document).decode())  # noqa: T201 - this is a command line
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tidegate", description="Stateful GRU forecasts as a service.")
    parser.add_argument("--version", action="version", version=f"tidegate {version('tidegate')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve", help="serve the models of a directory", description="Serve the models of a directory."
    )
    for name, field in Settings.model_fields.items():
        text = f"{field.description}; default {field.default} ({PREFIX}{name.upper()})".replace("%", "%%")
        serve.add_argument(
            f"--{name.replace('_', '-')}", dest=name, help=text, metavar="VALUE", default=argparse.SUPPRESS
        )
    serve.set_defaults(command=_serve)

    demo = commands.add_parser("demo", help="stream held-out months to a server and score its forecasts")
    demo.add_argument("--models", default="models", help="directory of bundles; default models")
    demo.add_argument("--data", default=str(METRO), help=f"the shipped data; default {METRO}")
    demo.add_argument("--port", default=8000, type=int, help="port of the server; default 8000")
    demo.add_argument("--once", action="store_true", help="end after streaming instead of serving on")
    demo.set_defaults(command=_demo)

    openapi = commands.add_parser("openapi", help="print the OpenAPI document")
    openapi.set_defaults(command=_openapi)
    return parser


if __name__ == "__main__":
    sys.exit(main())
