"""What the tests of crashes and failing disks share."""

from __future__ import annotations

from tests.crash.strace import strace

__all__ = ["strace"]
