"""Who counts as a participant, and what coming, going, promotion and demotion change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Person, Session, Settings


def participants(session: Session, people: Sequence[Person]) -> tuple[Person, ...]:
    """Those who count as participants: no moderators, except with `everyone` or with a seat given by hand."""
    raise NotImplementedError


def is_here(session: Session, person: Person) -> bool:
    """Whether the person is here: seen by the caller (wrote, in the call), or tapped ✋."""
    raise NotImplementedError


def without_seat(session: Session, people: Sequence[Person]) -> tuple[str, ...]:
    """The participants who have no seat and did not pass."""
    raise NotImplementedError


def joined_main(
    session: Session, person: Person, *, people: Sequence[Person], now: datetime, settings: Settings
) -> Change[None]:
    """Somebody joined the main room; `people` may or may not contain him already."""
    raise NotImplementedError


def left_main(session: Session, user: str) -> Change[None]:
    """Somebody left the main room, was removed or banned there: the seat is free."""
    raise NotImplementedError


def promoted(session: Session, user: str, *, now: datetime) -> Change[None]:
    """A participant became a moderator: the seat is free (the person may stay in the room)."""
    raise NotImplementedError


def demoted(
    session: Session, person: Person, *, people: Sequence[Person], now: datetime, settings: Settings
) -> Change[None]:
    """A moderator became a participant without a seat, for whom `late_joiners` holds."""
    raise NotImplementedError
