"""The demo: a whole session on a homeserver of its own, shown as it happens and verified against that server."""

from __future__ import annotations

from plugins.breakout.demo.command import run

__all__ = ["run"]
