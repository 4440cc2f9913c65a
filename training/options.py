"""The command line: every field of a FitConfig is an option of its name, and every complaint one line."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from training.config import FitConfig, read_config
from training.errors import InputError, suggestion

PROGRAM = "python -m training"
STARTING_WITH = {
    "data": "what to learn from and to forecast",
    "validate_from": "what to judge it on, and where it goes",
}
STARTING_WITH |= {"cell": "the recipe", "units": "the recipe"}
METAVARS = {"data": "FILE", "out": "DIRECTORY", "name": "NAME", "frequency": "DURATION", "cell": "CELL"}
METAVARS |= dict.fromkeys(("time", "target", "series", "covariates", "future_covariates", "categories"), "COLUMN")
METAVARS |= dict.fromkeys(("validate_from", "test_from"), "TIME")
EPILOGUE = """
Ctrl-C ends a fit early: what was best so far is judged and written; a second Ctrl-C ends at once.
docs/training.md says more about every option.
"""


COMPARED_ALIKE = {"out", "name", "cell", "ensemble", "budget", "patience"}  # fields that a comparison has no use for


@dataclass(frozen=True, slots=True)
class Request:
    """A fit that a person asked for."""

    config: FitConfig
    resume: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of cells that a person asked for; every cell is fitted as `config` says."""

    config: FitConfig
    report: Path = Path("comparison")
    seeds: int = 1
    probe_steps: int = 1_000


class Parser(argparse.ArgumentParser):
    """A parser that raises what is wrong instead of printing its usage above it."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError with the remedy."""
        raise InputError(f"{message}; {self.prog} --help lists what there is")


def parse(arguments: Sequence[str]) -> Request | Comparison:
    """What a command line asks for; raises InputError naming the option and the remedy, SystemExit after --help."""
    parser = Parser(PROGRAM, description="Fit forecasters to files of history.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    options = {"fit": add_fit(commands), "compare": add_compare(commands)}
    if not arguments:
        raise InputError(f"there is no command; say {PROGRAM} fit, {PROGRAM} compare, or --help")
    command = arguments[0]
    if command not in {*options, "-h", "--help"}:
        raise InputError(f"unknown command {command!r}; {suggestion(command, options)}")
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise InputError(f"unknown option {unknown[0]!r}; {suggestion(unknown[0].split('=')[0], options[command])}")
    given = vars(known)
    path = given.pop("config", None)
    if command == "fit":
        resume = given.pop("resume", False)
        return Request(read_config(path, given), resume)
    own = {name: given.pop(name) for name in ("report", "seeds", "probe_steps") if name in given}
    for name, least in (("seeds", 1), ("probe_steps", 0)):
        if name in own and not (isinstance(own[name], int) and own[name] >= least):
            raise InputError(f"{option(name)}: must be a whole number from {least} on; got {str(own[name])!r}")
    return Comparison(read_config(path, given), **own)


def add_fit(commands: Any) -> list[str]:
    """The command that fits, and its options."""
    parser = _command(
        commands,
        "fit",
        help="fit a forecaster, judge it on its test part and write it as a bundle",
        description="Fit a forecaster to a file of history, judge it on its test part, write it to OUT/NAME/VERSION.",
        epilog=EPILOGUE,
    )
    run = parser.add_argument_group("the run")
    run.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of options; those given here win")
    run.add_argument("--resume", action="store_true", help="go on with the interrupted run of this OUT and NAME")
    return ["--config", "--resume", *add_fields(parser)]


def add_compare(commands: Any) -> list[str]:
    """The command that compares, and its options."""
    parser = _command(
        commands,
        "compare",
        help="fit the GRU and its relatives alike, and compare what they take and what they are worth",
        description="Fit the GRU and its relatives to a file of history, each with the same steps, head and features, and compare "
        "them; then probe their memory, and race the training kernel.",
    )
    run = parser.add_argument_group("the comparison")
    run.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of options; those given here win")
    run.add_argument("--report", type=Path, metavar="DIRECTORY", help="where page and figures go [comparison]")
    run.add_argument(
        "--seeds", type=number, metavar="N", help="fits of every cell, with this seed and the next ones [1]"
    )
    run.add_argument(
        "--probe-steps", type=number, metavar="N", help="optimiser steps of the adding problem; 0: none [1000]"
    )
    return ["--config", "--report", "--seeds", "--probe-steps", *add_fields(parser, COMPARED_ALIKE)]


def _command(commands: Any, name: str, **texts: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        **texts,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --data FILE --target COLUMN --horizon N [options]",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    return parser


def add_fields(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> list[str]:
    """An option for each field of a FitConfig but some; their names."""
    group: Any = parser
    current = None
    schema = FitConfig.model_json_schema()
    fields = {name: field for name, field in FitConfig.model_fields.items() if name not in without}
    for name, field in fields.items():
        title = STARTING_WITH.get(name, current)
        if title != current:
            group, current = parser.add_argument_group(title), title
        kind = _kind(schema["properties"][name])
        default = "" if field.is_required() or field.default in {None, ()} else f" [{_written(field.default)}]"
        choices = schema["properties"][name].get("enum")
        text = f"{field.description}{': ' + ', '.join(choices) if choices else ''}{default}"
        if kind["type"] == "boolean":
            group.add_argument(option(name), action=argparse.BooleanOptionalAction, help=text)
            continue
        group.add_argument(
            option(name),
            type=str if kind["type"] == "string" else number,
            nargs=kind["several"],
            metavar=METAVARS.get(name, "N" if kind["type"] == "integer" else "X"),
            help=textwrap.shorten(text, 300).replace("%", "%%"),
        )
    return [option(name) for name in fields]


def option(field: str) -> str:
    """How a field is written on the command line."""
    return f"--{field.replace('_', '-')}"


def number(text: str) -> int | float | str:
    """A number, or the text as it is for the configuration to refuse by name."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _kind(schema: dict[str, Any]) -> dict[str, Any]:
    """The type of a field, or of the items of one that takes several."""
    schema = next((one for one in schema.get("anyOf", ()) if one["type"] != "null"), schema)
    if schema["type"] != "array":
        return {"type": schema["type"], "several": None}
    return {"type": schema["items"]["type"], "several": "+" if schema.get("minItems") else "*"}


def _written(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
