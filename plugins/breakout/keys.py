"""The outbox keys of the messages whose reactions do something, and what each of them offers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

EXTENSION = timedelta(minutes=5)
"""What ➕ grants."""


class Control(StrEnum):
    """What a message offers; the first part of its outbox key."""

    CHECK_IN = "check-in"
    BOARD = "board"
    DESK_BOARD = "desk-board"
    STARTED = "started"
    WELCOME = "welcome"
    WELCOME_AGAIN = "welcome-again"
    CONFIRM = "confirm"
    HELP = "help"
    HELP_REMINDED = "help-reminded"
    LATE = "late-asked"


@dataclass(frozen=True, slots=True)
class Offer:
    """A message to which people react."""

    control: Control
    key: str
    session: str | None = None
    """The session that it belongs to; None where it belongs to none (a check-in, a question)."""
    room: int | None = None
    """The breakout room that a help request is about."""
    asked_ms: int | None = None
    """When that request was made, in milliseconds: the room may have made another since."""
    user: str | None = None
    """The person whom the moderators were asked about."""


def offer_of(key: str) -> Offer | None:
    """What the message of this outbox key offers; None for one without controls."""
    head, _, rest = key.partition(":")
    try:
        control = Control(head)
    except ValueError:
        return None
    parts = rest.split(":")
    if control in (Control.CHECK_IN, Control.CONFIRM):
        return Offer(control, key)
    if control in (Control.HELP, Control.HELP_REMINDED):  # session:round:room:since:times
        return Offer(Control.HELP, key, parts[0], room=int(parts[2]), asked_ms=int(parts[3]))
    if control is Control.LATE:  # session:round:@user:server:at
        return Offer(control, key, parts[0], user=":".join(parts[2:-1]))
    if control is Control.WELCOME_AGAIN:
        control = Control.WELCOME
    return Offer(control, key, parts[0])
