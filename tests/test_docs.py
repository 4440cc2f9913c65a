"""What the documents say is there is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(markdown: str) -> set[str]:
    """The fragments that a rendered page's headings answer to."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", markdown), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[str]:
    """The lines of the README's command blocks."""
    lines = "\n".join(BLOCK.findall(text(ROOT / "README.md"))).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.strip()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document):
    broken = []
    for link in LINK.findall(BLOCK.sub("", text(document))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (fragment and fragment not in anchors(text(target))):
            broken.append(link)
    assert broken == []


def test_every_make_target_in_the_readme_exists():
    targets = set(re.findall(r"^([\w-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    named = {shlex.split(line)[1] for line in commands() if line.startswith("make ")}
    named |= set(re.findall(r"`make (\w+)", text(ROOT / "README.md")))
    assert {"demo", "test"} <= named
    assert named - targets == set()


def test_every_make_target_is_listed_by_help():
    makefile = text(ROOT / "Makefile")
    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())
    assert set(re.findall(r"^(\w+):.*## \w", makefile, re.MULTILINE)) == phony


def test_the_gate_runs_the_command_that_the_readme_names():
    assert text(ROOT / ".ci/run").splitlines()[-1] == "make test"
    assert "make test" in commands()
