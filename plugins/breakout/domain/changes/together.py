"""What is said once to several people: those who go the same way are asked in one message, and welcomed in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.seats import INSIDE
from plugins.breakout.domain.model import Presence, Seat, Session
from plugins.breakout.domain.notices import PleaseMove, WelcomeNewcomers
from plugins.breakout.domain.phases import is_running

PATIENCE = timedelta(seconds=10)
"""So long somebody is not asked to go, or not welcomed, at most, while others are to go or come with them."""


def ask_to_go(session: Session, old: int, new: int, now: datetime) -> Change[None]:
    """Ask those in the old room whose invites to the new one are out to go there; who has gone need not be asked.

    One message for all who go the same way: it waits a little while an invite of one of them is not out.
    """
    seats = [seat for seat in session.people_of(new) if seat.moved_from == old]
    unasked = [seat for seat in seats if _is_unasked(seat)]
    if not unasked or not is_running(session):
        return Change(session, None)
    since = min(seat.unasked_since for seat in unasked if seat.unasked_since)
    if now < since + PATIENCE and any(seat.presence is Presence.ASSIGNED for seat in seats):
        return Change(session, None)
    session = session.with_seats(*(replace(seat, unasked_since=None) for seat in unasked))
    users = tuple(seat.user for seat in unasked)
    return Change(session, None, (PleaseMove(session.id, session.round, users[0], old, new, since, users),))


def ways_to_ask(session: Session) -> Mapping[tuple[int, int], datetime]:
    """From which room to which people are still to be asked to go, and when they are, whoever's invite is not out."""
    since: dict[tuple[int, int], datetime] = {}
    for seat in session.seats.values():
        if _is_unasked(seat) and seat.moved_from is not None and seat.unasked_since is not None:
            way = seat.moved_from, seat.room
            since[way] = min(seat.unasked_since, since.get(way, seat.unasked_since))
    return {way: first + PATIENCE for way, first in since.items()}


def _is_unasked(seat: Seat) -> bool:
    return seat.unasked_since is not None and seat.presence is Presence.INVITED


def welcome_newcomers(session: Session, number: int, now: datetime) -> Change[None]:
    """The welcome of those who were not there yet when the room was welcomed, and cannot read what was said then.

    One message for all who come together: it waits a little while somebody is on the way there from another room.
    """
    seats = _newcomers(session, number)
    if (since := _first_came(seats)) is None:
        return Change(session, None)
    if now < since + PATIENCE and any(_is_on_the_way(seat) for seat in session.people_of(number)):
        return Change(session, None)
    session = session.with_seats(*(replace(seat, unwelcomed_since=None) for seat in seats))
    users = tuple(seat.user for seat in seats)
    return Change(session, None, (WelcomeNewcomers(session.id, session.round, number, since, users[0], users),))


def welcome_moment(session: Session, number: int) -> datetime | None:
    """When those who came into the room later are welcomed, whoever is still on the way."""
    since = _first_came(_newcomers(session, number))
    return since and since + PATIENCE


def _newcomers(session: Session, number: int) -> tuple[Seat, ...]:
    return tuple(seat for seat in session.people_of(number) if seat.unwelcomed_since and seat.presence in INSIDE)


def _first_came(seats: Sequence[Seat]) -> datetime | None:
    return min((seat.unwelcomed_since for seat in seats if seat.unwelcomed_since), default=None)


def _is_on_the_way(seat: Seat) -> bool:
    return seat.moved_from is not None and seat.presence in (Presence.ASSIGNED, Presence.INVITED)
