"""`comparison.html`: the plots and tables of a comparison on one page that needs no network."""

from __future__ import annotations

from training.compare import drawings
from training.compare.tables import tables
from training.metrics import Document
from training.report import escape, joined, page, section, table
from training.summary import label, number

WHAT_EQUAL_MEANS = (
    "The same features, head, windows, optimiser steps and seeds; the cells took turns, step by step, on the same machine. "
    "State counts numbers; times are medians."
)
WHAT_ADDING_IS = (
    "How far back can a cell learn to look? Add two marked values of a long sequence (Hochreiter and Schmidhuber 1997). "
    "Who always answers 1 has the error of the dashed line."
)


def render(found: Document) -> str:
    """The page."""
    data, test = found["data"], found["test"]
    lead = (
        f"{escape(data['file'])}: {data['series']:,} series, {data['steps']:,} steps; {found['steps']:,} optimiser steps, "
        f"seeds {joined(found['seeds'])}. The rival, {escape(label(test['rival']))}, has a WQL of {number(test['wql'], 4)}."
    )
    texts = [
        section(one.title, "", table(one.heads, [(row[0].startswith("GRU (Cho"), row) for row in one.rows]))
        for one in tables(found)
    ]
    body = [
        "<h1>The GRU and its relatives</h1>",
        f"<p class=lead>{lead}</p>",
        section("At a glance", WHAT_EQUAL_MEANS, drawings.bars(found["cells"])),
        section("The course of training", "Dots are the best validations.", drawings.courses(found["cells"])),
        section("A memory probe", WHAT_ADDING_IS, drawings.adding(found["adding"])) if found["adding"] else "",
        *texts,
        section("How it was made", "", _facts(found)),
    ]
    return page("The GRU and its relatives", "\n".join(body))


def _facts(found: Document) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    listed = {
        "command": f"<code>{escape(found['command'])}</code>",
        "SHA-256": f"<code>{found['data']['sha256']}</code>",
        "versions": escape(versions),
        "commit": f"<code>{found['commit'] or 'not in a repository'}</code>",
    }
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{text}</dd>' for name, text in listed.items())}</dl>"
