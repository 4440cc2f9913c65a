"""The command line: every field of a FitConfig is an option of its name, and every complaint one line."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
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
STARTING_WITH |= {"cell": "the recipe"}
METAVARS = {"data": "FILE", "out": "DIRECTORY", "name": "NAME", "frequency": "DURATION", "cell": "CELL"}
METAVARS |= dict.fromkeys(("time", "target", "series", "covariates", "future_covariates", "categories"), "COLUMN")
METAVARS |= dict.fromkeys(("validate_from", "test_from"), "TIME")
EPILOGUE = """
Ctrl-C ends a fit early: what was best so far is judged and written; a second Ctrl-C ends at once.
docs/training.md says more about every option.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for."""

    config: FitConfig
    resume: bool


class Parser(argparse.ArgumentParser):
    """A parser that raises what is wrong instead of printing its usage above it."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError with the remedy."""
        raise InputError(f"{message}; {self.prog} --help lists what there is")


def parse(arguments: Sequence[str]) -> Request:
    """The request of a command line; raises InputError naming the option and the remedy, SystemExit after --help."""
    parser = Parser(PROGRAM, description="Fit forecasters to files of history.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    fit = commands.add_parser(
        "fit",
        help="fit a forecaster, judge it on its test part and write it as a bundle",
        description="Fit a forecaster to a file of history, judge it on its test part, write it to OUT/NAME/VERSION.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --data FILE --target COLUMN --horizon N [options]",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add_options(fit)
    if not arguments:
        raise InputError(f"there is no command; say {PROGRAM} fit, or --help")
    if arguments[0] != "fit" and not arguments[0].startswith("-"):
        raise InputError(f"unknown command {arguments[0]!r}; {suggestion(arguments[0], ['fit'])}")
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        options = ["--config", "--resume", *map(option, FitConfig.model_fields)]
        raise InputError(f"unknown option {unknown[0]!r}; {suggestion(unknown[0].split('=')[0], options)}")
    given = vars(known)
    path, resume = given.pop("config", None), given.pop("resume", False)
    return Request(read_config(path, given), resume)


def add_options(parser: argparse.ArgumentParser) -> None:
    """An option for each field of a FitConfig, and two that are about the run."""
    run = parser.add_argument_group("the run")
    run.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of options; those given here win")
    run.add_argument("--resume", action="store_true", help="go on with the interrupted run of this OUT and NAME")
    group = run
    schema = FitConfig.model_json_schema()
    for name, field in FitConfig.model_fields.items():
        if name in STARTING_WITH:
            group = parser.add_argument_group(STARTING_WITH[name])
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
