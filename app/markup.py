"""The frame and the small parts of our pages. They load nothing from elsewhere."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import msgspec

from app.endpoint import Reply

HTML = "text/html; charset=utf-8"
SAFE = ((b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),)


def page(title: str, lead: str, body: str) -> Reply:
    """A whole page; `body` is HTML."""
    content = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_style()}</style><main><h1>{title}</h1>"
        f'<p class="lead">{prose(lead)}</p>{body}</main></html>'
    )
    return Reply(content.encode(), headers=SAFE, media_type=HTML)


def prose(plain: str) -> str:
    """Plain text as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(plain))


def json(value: Any) -> str:
    """A document, indented."""
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>"


@cache
def _style() -> str:
    return files("app").joinpath("static", "page.css").read_text(encoding="utf-8")
