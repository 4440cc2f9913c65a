"""Single observations of different sessions as columns, whether one request brings all of them or each has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.engine.arrays import Flags, Floats, Index
from app.engine.fitting import Fitting
from app.engine.forecast import Selection, Wish
from app.engine.inputs import NOTHING, Named, fit_covariates
from app.engine.session import Facts, Key
from app.engine.steps import NEXT, Place
from app.errors import Refusal

Said = Sequence[int | None] | None


class Observation(msgspec.Struct, frozen=True):
    """T ≥ 1 observations (T, any) of one session with past covariates (T,) by name, where they belong, and what is wanted to know
    after them. Where an `incarnation` is given, no other session of the same id is meant.
    """

    key: Key
    values: Floats
    place: Place = NEXT
    covariates: Named = NOTHING
    wish: Wish | None = None
    incarnation: int | None = None


class Part(NamedTuple):
    """Some of the places that were asked about, whose observations have covariates (n, K) and want the same of the forecast.

    `future` (n, H, K') is what is known ahead of each, where one is wanted.
    """

    where: Index
    covariates: Floats
    selection: Selection | None
    future: Floats | None


class Source(Protocol):
    """Observations of different sessions. Places are their numbers."""

    @property
    def keys(self) -> Sequence[Key]: ...

    def follow(self, places: Index, facts: Facts, channels: int) -> Flags:
        """Which observations are the next steps of sessions with these facts (n,) and so many channels, by all that is said."""

    def values(self, places: Index) -> Floats:
        """Values (n, C) of those that follow."""

    def parts(self, places: Index, fitting: Fitting, refused: dict[int, Refusal]) -> Iterator[Part]:
        """Those that follow by what they want of a model; `refused` is told which want what it does not have."""

    def one(self, place: int) -> Observation:
        """One of them by itself."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Values (N, any) of one request, with covariates (N,) by name and one wish for all."""

    keys: Sequence[Key]
    table: Floats
    steps: Said = None
    covariates: Named = field(default_factory=dict)
    wish: Wish | None = None
    incarnations: Said = None

    def follow(self, places: Index, facts: Facts, channels: int) -> Flags:
        """Which observations are next steps."""
        fits = np.full(len(places), self.table.shape[1] == channels)
        _narrow(fits, _picked(self.steps, places), lambda: facts["step"] + 1)
        _narrow(fits, _picked(self.incarnations, places), lambda: facts["incarnation"])
        return fits

    def values(self, places: Index) -> Floats:
        """Values (n, C)."""
        return self.table[places]

    def parts(self, places: Index, fitting: Fitting, refused: dict[int, Refusal]) -> Iterator[Part]:
        """All of them, or none."""
        try:
            selection = fitting.selection(self.wish)
            given = {name: column[places] for name, column in self.covariates.items()}
            covariates = fit_covariates(fitting.bundle, given, len(places))
        except Refusal as refusal:
            refused.update(dict.fromkeys(places.tolist(), refusal))
            return
        future = None if selection is None else _for_each(selection.future, len(places))
        yield Part(np.arange(len(places)), covariates, selection, future)

    def one(self, place: int) -> Observation:
        """One of them."""
        rows = slice(place, place + 1)
        return Observation(
            self.keys[place],
            self.table[rows],
            Place(self.steps[place]) if self.steps else NEXT,
            {name: column[rows] for name, column in self.covariates.items()},
            self.wish,
            self.incarnations[place] if self.incarnations else None,
        )


class Singles:
    """Observations with a request of their own each."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self._ones = observations
        self.keys: Sequence[Key] = [one.key for one in observations]

    def follow(self, places: Index, facts: Facts, channels: int) -> Flags:
        """Which observations are next steps."""
        ones = self._at(places)
        fits: Flags = np.array([one.values.shape[1] == channels for one in ones])
        _narrow(fits, [one.place.step for one in ones], lambda: facts["step"] + 1)
        _narrow(fits, [one.place.time for one in ones], lambda: facts["start"] + facts["step"] * facts["frequency"])
        _narrow(fits, [one.incarnation for one in ones], lambda: facts["incarnation"])
        return fits

    def values(self, places: Index) -> Floats:
        """Values (n, C)."""
        return np.concatenate([one.values for one in self._at(places)])

    def parts(self, places: Index, fitting: Fitting, refused: dict[int, Refusal]) -> Iterator[Part]:
        """By what is wanted."""
        alike: dict[object, list[tuple[int, Floats, Selection | None]]] = {}
        for number, one in enumerate(self._at(places)):
            try:
                selection = fitting.selection(one.wish)
                covariates = fitting.covariates(one.covariates)
            except Refusal as refusal:
                refused[int(places[number])] = refusal
                continue
            wanted = selection and (selection.horizon, selection.levels)
            alike.setdefault(wanted, []).append((number, covariates, selection))
        for members in alike.values():
            futures = [selection.future for _, _, selection in members if selection]
            yield Part(
                where=np.array([number for number, _, _ in members]),
                covariates=_rows([covariates for _, covariates, _ in members]),
                selection=members[0][2],
                future=_rows(futures) if futures else None,
            )

    def one(self, place: int) -> Observation:
        """One of them."""
        return self._ones[place]

    def _at(self, places: Index) -> Sequence[Observation]:
        if len(places) == len(self._ones):
            return self._ones
        return [self._ones[place] for place in places.tolist()]


def _narrow(fits: Flags, said: Said, facts: Callable[[], NDArray[Any]]) -> None:
    """Leave those that fit where nothing else is said than what is a fact."""
    if said is None or said.count(None) == len(said):
        return
    found = facts()
    try:
        fits &= np.array(said, found.dtype) == found
    except (OverflowError, TypeError):  # beyond what a fact can be, or None
        fits &= [number is None or number == fact for number, fact in zip(said, found.tolist(), strict=True)]


def _picked(said: Said, places: Index) -> Said:
    if said is None or len(places) == len(said):
        return said
    return [said[place] for place in places.tolist()]


def _rows(arrays: Sequence[Floats]) -> Floats:
    """Arrays as the rows of one, which is quicker where all are the same object."""
    first = arrays[0]
    if all(array is first for array in arrays):
        return _for_each(first, len(arrays))
    found: Floats = np.stack(arrays)
    return found


def _for_each(array: Floats, count: int) -> Floats:
    found: Floats = np.repeat(array[None], count, axis=0)
    return found
