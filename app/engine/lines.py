"""Whose turn it is. Tasks wait in the line of whoever sent them, and lines take turns, so that a flood delays nobody but itself.

This is deficit round robin (Shreedhar and Varghese, 1995, "Efficient fair queuing using deficit round robin") where nothing
overdraws its quantum: a task of more rows than its line has left is cut.
"""

from __future__ import annotations

from collections import deque

from app.engine.parts import Whole, is_divisible
from app.engine.task import Task

COMPANY_SECONDS = 0.25


class Line:
    """The tasks of one sender, in their order, and how many rows they still are."""

    __slots__ = ("name", "rows", "waiting")

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.waiting: deque[Task | Whole] = deque()
        self.rows = 0

    def add(self, task: Task) -> None:
        self.waiting.append(task)
        self.rows += task.rows

    def take(self, most: int) -> list[Task]:
        """The next tasks, of `most` rows; what cannot be cut may be more."""
        taken: list[Task] = []
        left = most
        while self.waiting and left > 0:
            taken.append(self._next(left))
            left -= taken[-1].rows
        self.rows -= most - left
        return taken

    def _next(self, most: int) -> Task:
        first = self.waiting[0]
        if isinstance(first, Task):
            if first.rows <= most or not is_divisible(first):
                self.waiting.popleft()
                return first
            first = self.waiting[0] = Whole(first)
        part = first.part(most)
        if first.rows == 0:
            self.waiting.popleft()
        return part


class Lines:
    """The lines in which somebody waits, in the order of their turns.

    A sender counts as in company for a while after somebody else was served. Tasks of no line are the service's own, which
    are nobody's company.
    """

    def __init__(self) -> None:
        self._lines: dict[str | None, Line] = {}
        self._turns: deque[Line] = deque()
        self._latest: str | None = None
        self._company_until = 0.0
        self._share = 1

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, task: Task) -> None:
        """Queue a task at the end of its line."""
        line = self._lines.get(task.line)
        if line is None:
            line = self._lines[task.line] = Line(task.line)
            self._turns.append(line)
        line.add(task)

    def take(self, most: int, most_in_company: int, now: float) -> list[Task]:
        """The tasks of one tick of at most `most` rows, those of the shortest lines first, so that they are answered first.

        In company no more than `most_in_company` rows are shared out, but one for each line.
        """
        self._look_around(now)
        limit = most if now >= self._company_until else min(most, most_in_company)
        self._share = fair_share([line.rows for line in self._turns], limit)
        served, rows = [], 0
        for _ in range(min(len(self._turns), most)):
            line = self._turns.popleft()
            before = line.rows
            served.append((before, line.take(self._share)))
            rows += before - line.rows
            if line.waiting:
                self._turns.append(line)
            else:
                del self._lines[line.name]
            if rows >= most:
                break
        served.sort(key=lambda one: one[0])
        return [task for _, taken in served for task in taken]

    def ticks_before(self, name: str | None, arrived: int, most: int) -> float:
        """How many ticks of `most` rows pass before a newcomer of that line has its turn; `arrived` rows of it have not been
        added yet. May be asked by any thread.
        """
        line = self._lines.get(name)
        rows = arrived + (line.rows if line else 0)
        ticks_of_a_round = max(1.0, len(self._turns) / most)
        return rows / self._share * ticks_of_a_round + ticks_of_a_round - 1

    def _look_around(self, now: float) -> None:
        """See whether there is company: somebody else than was served last."""
        for line in self._turns:
            if line.name not in (None, self._latest):
                if self._latest is not None:
                    self._company_until = now + COMPANY_SECONDS
                self._latest = line.name


def fair_share(rows: list[int], most: int) -> int:
    """The largest share, at least one row, with which lines of so many rows get `most` together: who needs less leaves the rest
    to others (max-min fairness).
    """
    left = most
    for place, needed in enumerate(sorted(rows)):
        lines = len(rows) - place
        if needed * lines >= left:
            return max(1, left // lines)
        left -= needed
    return most
