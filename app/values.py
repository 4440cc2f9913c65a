"""Numbers as clients send them, turned into the engine's arrays: the one place where they are checked, for every surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from app.engine.arrays import Floats, Kinds
from app.errors import InvalidRequest, pointing_at

LARGEST = 1e30  # beyond it a float32 model computes infinities
NUMBERS = frozenset({int, float, type(None)})
NAMES = frozenset({str, type(None)})
SHOWN = 40


def observations(values: Sequence[Any]) -> Floats:
    """Observations (T, C) from T numbers or T lists of C numbers; null, for all or one of the channels, becomes NaN.

    Raises InvalidRequest, pointing at the first that is no finite number of at most LARGEST in size.
    """
    if len(values) == 1 and type(values[0]) is float and abs(values[0]) <= LARGEST:  # one number, which is most common
        return np.array([values], np.float32)
    lists = [value for value in values if type(value) is list]
    if not lists:
        return numbers(values)[:, None]
    width = len(lists[0])
    for index, value in enumerate(values):
        if not (value is None or (type(value) is list and len(value) == width > 0)):
            with pointing_at(f"/{index}"):
                raise InvalidRequest(f"{show(value)} is not an observation of {width} channels like the others")
    flat = [number for value in values for number in ([None] * width if value is None else value)]
    try:
        return numbers(flat).reshape(-1, width)
    except InvalidRequest as refusal:
        raise InvalidRequest(refusal.detail) from refusal  # its place in the flat list means nothing to the client


def numbers(values: Sequence[Any]) -> Floats:
    """Numbers (n,), null as NaN; raises InvalidRequest, pointing at the first that is none."""
    if not NUMBERS.issuperset(map(type, values)):
        _refuse(values, lambda value: type(value) not in NUMBERS, "is not a number; use null for a missing value")
    try:
        array = np.array(values, np.float64)
    except OverflowError:
        array = np.array([np.inf])
    unusual = ~(np.abs(array) <= LARGEST)
    if np.count_nonzero(unusual) != values.count(None):
        complaint = f"is not a finite number of at most {LARGEST:g} in size; use null for a missing value"
        _refuse(values, lambda value: value is not None and not abs(value) <= LARGEST, complaint)
    return array.astype(np.float32)


def kinds(values: Sequence[Any]) -> Kinds:
    """Names of kinds (n,), null as None; raises InvalidRequest, pointing at the first that is neither."""
    if not NAMES.issuperset(map(type, values)):
        _refuse(
            values, lambda value: type(value) not in NAMES, "is not text like the others; use null for a missing value"
        )
    return np.array(values, np.object_)


def columns(named: Mapping[str, Sequence[Any]] | None) -> dict[str, Floats | Kinds]:
    """Named lists of numbers, or of the names of kinds, as arrays (n,)."""
    found: dict[str, Floats | Kinds] = {}
    for name, values in (named or {}).items():
        with pointing_at("/" + name[:SHOWN].replace("~", "~0").replace("/", "~1")):
            first = next((value for value in values if value is not None), None)
            found[name] = kinds(values) if isinstance(first, str) else numbers(values)
    return found


def show(value: Any) -> str:
    """A value as an error text may repeat it: short."""
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if not isinstance(value, int | float | str):
        return "what JSON has no kind for"  # MessagePack has bytes, times and extensions
    if isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _refuse(values: Sequence[Any], is_wrong: Callable[[Any], bool], complaint: str) -> NoReturn:
    index, value = next((index, value) for index, value in enumerate(values) if is_wrong(value))
    detail = f"{show(value)} {complaint}"
    raise InvalidRequest(detail, errors=[{"pointer": f"/{index}", "detail": detail}])
