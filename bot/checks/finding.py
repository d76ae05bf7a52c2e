"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`message` states how it is; `remedy` what to do, where it is not `ok` or could be better."""

    name: str
    """What was looked at, for machines: it never changes."""
    ok: bool
    message: str
    remedy: str = ""
