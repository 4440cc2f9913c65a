"""`python -m training fit`: from a file of history to a bundle that can be served; `compare`: to a report on recurrent cells."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from training.errors import InputError
from training.options import PROGRAM, Comparison, Request, parse
from training.team import ALONE, LostError, Team, gathered

if TYPE_CHECKING:
    from training.data import Data

REFUSED, FAILED, INTERRUPTED = 2, 1, 130  # exit codes


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line asks for and return the exit code; errors are one line on standard error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    team = ALONE
    try:
        with gathered() as team:
            work(arguments, team)
    except InputError as error:
        return complain(REFUSED, str(error)) if team.leads else REFUSED
    except ModuleNotFoundError as error:
        return complain(
            FAILED, f"{error.name} is not installed; training needs pip install -c constraints.txt '.[train]'"
        )
    except KeyboardInterrupt:
        return complain(INTERRUPTED, "interrupted; no bundle was written")
    except LostError as error:
        complain(FAILED, str(error))
        sys.stdout.flush()
        os._exit(FAILED)
    except (OSError, RuntimeError) as error:  # a full disk, a parity that does not hold
        return complain(FAILED, str(error))
    return 0


def work(arguments: Sequence[str], team: Team) -> None:
    """Read, and fit or compare, with a team, whose first process speaks for all."""
    request, data = team.together(lambda: prepare(arguments))
    if len(set(team.gather(data.digest))) > 1:
        raise InputError(f"{request.config.data}: is not the same for all processes; copy it to every machine")
    console = Console(highlight=False, soft_wrap=True, quiet=not team.leads)
    if isinstance(request, Comparison):
        if team.size > 1:
            raise InputError(f"a comparison is one process, not {team.size}; start it without torchrun")
        from training.compare.run import run as compare  # noqa: PLC0415 - see below

        compare(request, data, arguments, console)
        return
    from training.run import run  # noqa: PLC0415 - torch takes seconds to import, a refusal should not

    run(request, data, arguments, console, team)


def prepare(arguments: Sequence[str]) -> tuple[Request | Comparison, Data]:
    """What a command line asks for, and the data it names; raises InputError."""
    request = parse(arguments)
    from training.data import read  # noqa: PLC0415 - its library may not be installed

    return request, read(request.config)


def complain(code: int, text: str) -> int:
    """Say what is wrong, in one line."""
    sys.stderr.write(f"{PROGRAM}: {' '.join(text.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
