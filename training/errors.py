"""What a person who starts a fit can do wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The data or the options cannot be used; the text is one line that names the place and the remedy."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """A guess at what was meant by a name that is not among the known ones, or their list."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
