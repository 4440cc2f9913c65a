"""What a comparison found, as tables of text for terminal and page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table as Printed

from training.compare.adding import LENGTHS
from training.compare.contestants import TITLES
from training.compare.findings import figures
from training.metrics import Document
from training.summary import number


@dataclass(frozen=True, slots=True)
class Table:
    """A title, heads and rows of cells."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def printed(self) -> Printed:
        """For the terminal."""
        found = Printed(title=self.title, title_justify="left")
        for i, head in enumerate(self.heads):
            found.add_column(head, justify="right" if i else "left")
        for row in self.rows:
            found.add_row(*row)
        return found


Column = tuple[str, str, int]  # a figure, its head, places after the point
SIZES: tuple[Column, ...] = (
    ("cell_parameters", "in the cell", 0),
    ("parameters", "parameters", 0),
    ("hidden_floats", "cell's state", 0),
    ("state_floats", "whole state", 0),
)
COSTS: tuple[Column, ...] = (
    ("step_ms", "a step, ms", 1),
    ("best_step", "best at step", 0),
    ("best_seconds", "after, s", 1),
)
WORTH: tuple[Column, ...] = (
    ("validation_loss", "validation loss", 4),
    ("wql", "WQL", 4),
    ("mase", "MASE", 3),
    ("coverage", "in the band", 3),
)
SERVING: tuple[Column, ...] = (
    ("observation_us", "observation, µs", 0),
    ("forecast_us", "with forecast, µs", 0),
    ("row_us", "one of 64, µs", 1),
)
PARTS = {"Size": SIZES, "Training": COSTS, "Accuracy": WORTH, "Serving, one thread": SERVING}


def tables(found: Document) -> list[Table]:
    """All tables of a comparison."""
    shown = [figures(row) for row in found["cells"]]
    made = [_of_cells(title, columns, shown) for title, columns in PARTS.items()]
    if found["adding"]:
        made.append(adding(found["adding"]))
    return [*made, kernel(found["kernel"])]


def _of_cells(title: str, columns: tuple[Column, ...], shown: list[Document]) -> Table:
    rows = [(row["title"], *(number(row[key], places) for key, _, places in columns)) for row in shown]
    return Table(title, ("", *(head for _, head, _ in columns)), rows)


def adding(found: Document) -> Table:
    """When each cell solved the adding problem, or how near it came."""
    told = {(one["cell"], one["length"]): _told(one) for one in found["attempts"]}
    rows = [(title, *(told[cell, length] for length in LENGTHS)) for cell, title in TITLES.items()]
    return Table(
        "Adding problem: solved at step, or lowest squared error", ("", *(f"{n} steps" for n in LENGTHS)), rows
    )


def _told(one: Document) -> str:
    return f"not: {one['best']:.3f}" if one["solved_at"] is None else f"{one['solved_at']:,}"


def kernel(found: Document) -> Table:
    """The race of training kernels."""
    title = "Training kernel, {steps} × {batch} × {units}, {threads} threads".format(**found)
    rows = [
        (
            name,
            number(forward, 1),
            number(backward, 1),
            number(forward + backward, 1),
            number(found["ratios"].get(name), 2),
        )
        for name, (forward, backward) in found["milliseconds"].items()
    ]
    return Table(title, ("", "forward, ms", "backward, ms", "both, ms", "ours takes"), rows)
