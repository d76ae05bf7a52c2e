"""All that time alone does to a session."""

from __future__ import annotations

from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Session, Settings


def advance(session: Session, *, now: datetime, settings: Settings) -> Change[None]:
    """Do what is due by `now`; a second call for the same `now` does nothing (the session is the same object)."""
    raise NotImplementedError


def next_moment(session: Session, settings: Settings) -> datetime | None:
    """When `advance` has something to do next; None: nothing until something else happens."""
    raise NotImplementedError
