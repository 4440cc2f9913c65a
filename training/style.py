"""How the report's plots look: one hand for all of them, in colours that follow the reader's light or dark theme.

Plots are drawn in stand-in colours, which become CSS variables in the SVG text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, OURS, RIVAL, OTHER, LAST, PAPER = (f"#0102{i:02x}" for i in range(1, 9))
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", OURS: "ours", RIVAL: "rival", OTHER: "other", LAST: "last", PAPER: "paper",
}  # fmt: skip
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "tidegate", "font.size": 10, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": GRID, "axes.labelcolor": MUTED, "axes.titlecolor": INK,
    "axes.titlesize": 10, "axes.titlelocation": "left", "xtick.color": GRID, "ytick.color": GRID,
    "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED, "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.7,
    "axes.axisbelow": True, "text.color": INK, "legend.frameon": False, "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round", "figure.constrained_layout.use": True, "axes.facecolor": "none",
    "figure.facecolor": "none", "image.cmap": "viridis", "date.converter": "concise",
}  # fmt: skip
CSS = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #1b2430; --muted: #667085; --grid: #e4e6ea;
  --ours: #0f766e; --rival: #d97706; --other: #7c3aed; --last: #94a3b8; }
@media (prefers-color-scheme: dark) { :root { --paper: #10151b; --card: #171e26; --ink: #e7eaee; --muted: #98a4b3;
  --grid: #2b3541; --ours: #2dd4bf; --rival: #fbbf24; --other: #a78bfa; --last: #64748b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue",
  "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 48px 24px 64px; }
h1 { font-size: 34px; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 6px; }
h2 { font-size: 20px; letter-spacing: -.01em; margin: 0 0 4px; }
p { margin: 0 0 12px; max-width: 76ch; }
.lead, .note, figcaption { color: var(--muted); }
section { background: var(--card); border: 1px solid var(--grid); border-radius: 14px; padding: 22px 26px; margin-top: 20px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 16px; margin-top: 28px; }
.card { background: var(--card); border: 1px solid var(--grid); border-radius: 14px; padding: 16px 20px; }
.card b { display: block; font-size: 30px; letter-spacing: -.02em; color: var(--ours); font-variant-numeric: tabular-nums; }
.card span { color: var(--muted); font-size: 14px; line-height: 1.35; display: block; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 0 20px; }
.pair section { min-width: 0; }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; color: var(--muted); font-weight: 500; font-size: 14px; }
td { text-align: right; } th:first-child, td:first-child { text-align: left; }
th, td { padding: 7px 10px; border-bottom: 1px solid var(--grid); }
tr.ours td { font-weight: 650; color: var(--ours); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 22px; margin: 8px 0 0; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: 13.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
"""


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure in inches, to be drawn on within the block."""
    with mpl.rc_context(SETTINGS):
        yield Figure(figsize=(width, height))


def svg(drawn: Figure, label: str) -> str:
    """A figure as inline SVG with the theme's colours, the same bytes for the same figure; `label` tells what it shows."""
    text = io.StringIO()
    drawn.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    found = text.getvalue()
    found = found[found.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    for colour, name in VARIABLES.items():
        found = found.replace(colour, f"var(--{name})")
    return found


def bare(axes: Axes) -> None:
    """Without frame and ticks, for what is read as a picture."""
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
