"""What was seen of the rooms and seats, noted on them."""

from __future__ import annotations

from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Session, Settings


def room_made(session: Session, number: int, room_id: str) -> Change[None]:
    """The room exists: its welcome can be said."""
    raise NotImplementedError


def room_lost(session: Session, number: int, room_id: str) -> Change[None]:
    """The bot is no longer in that room (somebody removed it): the next attempt makes another."""
    raise NotImplementedError


def room_closed(session: Session, number: int) -> Change[None]:
    """The bot has left the room for good."""
    raise NotImplementedError


def invited(session: Session, user: str, number: int, *, now: datetime, settings: Settings) -> Change[None]:
    """The invite of the person to that room is out. Does nothing where the seat is another or no longer waits."""
    raise NotImplementedError


def unreachable(
    session: Session, user: str, number: int, problem: str, *, now: datetime, settings: Settings
) -> Change[None]:
    """The invite failed for good."""
    raise NotImplementedError


def membership(
    session: Session,
    number: int,
    user: str,
    *,
    before: str | None,
    after: str,
    by_self: bool,
    by_bot: bool,
    moderator: bool,
    now: datetime,
) -> Change[None]:
    """A membership event of a breakout room: `before` and `after` as in `m.room.member`.

    `moderator`: the person is one and no participant (his coming and going concerns help requests only).
    In choose mode a participant who walks in takes that seat.
    """
    raise NotImplementedError
