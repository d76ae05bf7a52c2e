"""Help requests, visits, and texts to the rooms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.seats import INSIDE
from plugins.breakout.domain.model import Help, Phase, Presence, Room, Session, Settings
from plugins.breakout.domain.notices import (
    Broadcast,
    HelpAsked,
    HelpClaimed,
    HelpClosed,
    HelpEnd,
    HelpUnclaimed,
    HelpWithoutSeat,
    Notice,
)
from plugins.breakout.domain.phases import require
from plugins.breakout.domain.refusals import AlreadyClaimed, HelpCooldown, NoHelpRequest, TooLong

MAX_TEXT = 2000


@dataclass(frozen=True, slots=True)
class HelpTold:
    """The request as it is (or was) and its room."""

    room: Room
    help: Help


@dataclass(frozen=True, slots=True)
class Texted:
    """Where a text goes, and who is seated in those rooms but not there (user, room).

    `unmade` rooms do not exist yet and do not get it.
    """

    rooms: tuple[Room, ...]
    unmade: tuple[Room, ...]
    absent: tuple[tuple[str, int], ...]


def ask_help(
    session: Session | None,
    number: int,
    user: str,
    text: str,
    *,
    now: datetime,
    settings: Settings,
    in_main: bool = False,
) -> Change[HelpTold]:
    """Open the room's request, or bring the open one up to date. Raises `HelpCooldown`, `TooLong`.

    A request once more keeps its age, its claim and, where the new one has no words, its text. `in_main`: asked in
    the main room; who asks in the breakout room is there.
    """
    session, text = _asking(session, user, text, now, settings)
    seat = session.seats.get(user)
    if seat is not None and seat.presence is Presence.IN_MAIN and not in_main:
        session = session.with_seats(replace(seat, presence=Presence.JOINED))
    room = session.room(number)
    old = room.help
    request = replace(old, user=user, text=text or old.text, times=old.times + 1) if old else Help(user, now, text)
    request = replace(request, in_main=in_main)
    session = session.with_room(replace(room, help=request))
    asked = HelpAsked(session.id, session.round, number, request.since, request.times, user, request.text, in_main)
    return Change(session, HelpTold(session.room(number), request), (asked,))


def ask_without_seat(
    session: Session | None, user: str, text: str, *, now: datetime, settings: Settings
) -> Change[None]:
    """Tell the moderators of somebody without a room who needs them. Raises `HelpCooldown`, `TooLong`."""
    session, text = _asking(session, user, text, now, settings)
    return Change(session, None, (HelpWithoutSeat(session.id, session.round, user, now, text),))


def _asking(session: Session | None, user: str, text: str, now: datetime, settings: Settings) -> tuple[Session, str]:
    """The session in which the person has just asked, and their words."""
    session = require(session, "help")
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise TooLong("help", len(text), MAX_TEXT)
    last = session.asked_at.get(user)
    if last is not None and now - last < settings.help_cooldown:
        raise HelpCooldown(settings.help_cooldown - (now - last))
    return replace(session, asked_at={**session.asked_at, user: now}), text


def withdraw_help(session: Session | None, number: int, user: str) -> Change[HelpTold]:
    """The room needs no help any more (anybody in it may say so). Raises `NoHelpRequest`."""
    session = require(session, "help")
    if session.room(number).help is None:
        raise NoHelpRequest(session.room(number).name, withdrawing=True)
    return _closed(session, number, HelpEnd.WITHDRAWN, user)


def resolve(session: Session | None, number: int, by: str) -> Change[HelpTold]:
    """The request is closed. Raises `NoHelpRequest`."""
    return _closed(require(session, "resolve"), number, HelpEnd.RESOLVED, by)


def _closed(session: Session, number: int, why: HelpEnd, by: str | None) -> Change[HelpTold]:
    room, request = _open_request(session, number)
    session = session.with_room(replace(room, help=None))
    notice = HelpClosed(session.id, session.round, number, request.since, why, by)
    return Change(session, HelpTold(session.room(number), request), (notice,))


def _open_request(session: Session, number: int) -> tuple[Room, Help]:
    room = session.room(number)
    if room.help is None:
        raise NoHelpRequest(room.name)
    return room, room.help


def attended(session: Session, number: int) -> tuple[Session, tuple[Notice, ...]]:
    """The request is closed, its moderator having stayed long enough."""
    _, request = _open_request(session, number)
    change = _closed(session, number, HelpEnd.ATTENDED, request.attended_by)
    return change.session, change.notices


def claim(
    session: Session | None, number: int, by: str, *, now: datetime, needs_invite: bool = False
) -> Change[HelpTold]:
    """A moderator is on the way. Raises `NoHelpRequest`, `AlreadyClaimed`. Claiming again is harmless."""
    session = require(session, "claim")
    room, request = _open_request(session, number)
    if needs_invite and request.claimed_by in (None, by):
        session = replace(session, guests=session.guests | {(by, number)})
    if request.claimed_by == by:
        return Change(session, HelpTold(room, request))
    if request.claimed_by is not None:
        raise AlreadyClaimed(room.name, request.claimed_by)
    request = replace(request, claimed_by=by)
    session = session.with_room(replace(room, help=request))
    notice = HelpClaimed(session.id, session.round, number, request.since, by, now)
    return Change(session, HelpTold(session.room(number), request), (notice,))


def unclaim(session: Session | None, number: int, by: str, *, now: datetime) -> Change[HelpTold]:
    """The claim is taken back by who made it; without effect for others. Raises `NoHelpRequest`."""
    session = require(session, "claim")
    room, request = _open_request(session, number)
    if request.claimed_by != by:
        return Change(session, HelpTold(room, request))
    request = replace(request, claimed_by=None)
    session = session.with_room(replace(room, help=request))
    notice = HelpUnclaimed(session.id, session.round, number, request.since, by, now)
    return Change(session, HelpTold(session.room(number), request), (notice,))


def queue(session: Session | None) -> tuple[HelpTold, ...]:
    """The open requests, oldest first."""
    session = require(session, "queue")
    requests = [HelpTold(room, room.help) for room in session.open_rooms if room.help]
    return tuple(sorted(requests, key=lambda told: told.help.since))


def moderator_wrote(session: Session, number: int, by: str, *, now: datetime) -> Change[None]:
    """A moderator wrote in a breakout room: a visit, which closes its request (unless it is his own)."""
    if session.phase not in (Phase.RUNNING, Phase.CLOSING):
        return Change(session, None)
    session = session.with_room(replace(session.room(number), visited_at=now))
    request = session.room(number).help
    if request is None or request.user == by:
        return Change(session, None)
    change = _closed(session, number, HelpEnd.ATTENDED, by)
    return Change(change.session, None, change.notices)


def visit(session: Session | None, number: int, *, now: datetime, guest: str | None = None) -> Change[Room]:
    """A moderator visits the room; `guest` is one who needs an invite for that."""
    session = require(session, "visit")
    if guest is not None:
        session = replace(session, guests=session.guests | {(guest, number)})
    session = session.with_room(replace(session.room(number), visited_at=now))
    return Change(session, session.room(number))


def broadcast(session: Session | None, number: int | None, *, event: str) -> Change[Texted]:
    """A text to one room (`tell`) or to all (None); `event` is the id of the command's event."""
    session = require(session, "broadcast" if number is None else "tell")
    rooms = session.open_rooms if number is None else (session.room(number),)
    made = tuple(room for room in rooms if room.room_id is not None)
    unmade = tuple(room for room in rooms if room.room_id is None)
    absent = tuple(
        (seat.user, room.number)
        for room in rooms
        for seat in session.people_of(room.number)
        if seat.presence not in INSIDE
    )
    notices = tuple(Broadcast(session.id, event, room.number) for room in made)
    return Change(session, Texted(made, unmade, absent), notices)


def next_to_visit(session: Session | None, number: int | None) -> int:
    """The room asked for, else (None) the one longest without a visit."""
    session = require(session, "visit")
    if number is not None:
        return number
    return min(session.open_rooms, key=lambda room: (room.visited_at is not None, room.visited_at, room.number)).number
