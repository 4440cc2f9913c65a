"""A refusal as an HTTP answer: a problem document (RFC 9457)."""

from __future__ import annotations

import re
import secrets
from typing import Any

from app.errors import Refusal
from app.times import format_time

TYPE = "application/problem+json"
MOST_ERRORS = 10
RETRY_AFTER_SECONDS = 1
USUAL_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def problem(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The document: what is wrong, where, and what helps."""
    document: dict[str, Any] = {
        "type": f"urn:tidegate:problem:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request_id,
        **refusal.members(format_time),
    }
    if "errors" in document:
        document["errors"] = document["errors"][:MOST_ERRORS]
    return document


def request_id(given: bytes | None) -> str:
    """The caller's own id where it sent a usual one, else a new one."""
    return given.decode() if given and USUAL_ID.fullmatch(given) else secrets.token_hex(8)
