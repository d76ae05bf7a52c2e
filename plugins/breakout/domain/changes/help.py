"""Help requests, visits, and texts to the rooms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Help, Room, Session, Settings
from plugins.breakout.domain.notices import HelpEnd


@dataclass(frozen=True, slots=True)
class HelpTold:
    """The request as it is (or was) and its room."""

    room: Room
    help: Help


@dataclass(frozen=True, slots=True)
class Texted:
    """Where a text goes, and who is seated in those rooms but not there (user, room)."""

    rooms: tuple[Room, ...]
    absent: tuple[tuple[str, int], ...]


def ask_help(
    session: Session | None, number: int, user: str, text: str, *, now: datetime, settings: Settings
) -> Change[HelpTold]:
    """Open the room's request, or bring the open one up to date. Raises `HelpCooldown`."""
    raise NotImplementedError


def withdraw_help(session: Session | None, number: int, user: str, *, now: datetime) -> Change[HelpTold]:
    """The room needs no help any more (anybody in it may say so). Raises `NoHelpRequest`."""
    raise NotImplementedError


def claim(session: Session | None, number: int, by: str, *, now: datetime) -> Change[HelpTold]:
    """A moderator is on the way. Raises `NoHelpRequest`, `AlreadyClaimed`."""
    raise NotImplementedError


def unclaim(session: Session | None, number: int, by: str, *, now: datetime) -> Change[HelpTold]:
    """The claim is taken back by who made it. Raises `NoHelpRequest`."""
    raise NotImplementedError


def resolve(session: Session | None, number: int, by: str) -> Change[HelpTold]:
    """The request is closed. Raises `NoHelpRequest`."""
    raise NotImplementedError


def queue(session: Session | None) -> tuple[HelpTold, ...]:
    """The open requests, oldest first."""
    raise NotImplementedError


def moderator_wrote(session: Session, number: int, by: str, *, now: datetime) -> Change[None]:
    """A moderator wrote in a breakout room: a visit, which closes its request."""
    raise NotImplementedError


def visit(session: Session | None, number: int, *, now: datetime) -> Change[Room]:
    """A moderator visits the room."""
    raise NotImplementedError


def broadcast(session: Session | None, number: int | None, *, id: str) -> Change[Texted]:
    """A text to one room (`tell`) or to all (None); `id` is the event id of the command."""
    raise NotImplementedError
