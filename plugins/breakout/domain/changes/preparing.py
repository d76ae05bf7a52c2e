"""Preparing a session: rooms and invites ahead of the start, so that the start is felt at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from plugins.breakout.domain.change import Change, ConfirmAsked
from plugins.breakout.domain.changes.gathering import Gathered, gathered
from plugins.breakout.domain.changes.observed import welcome
from plugins.breakout.domain.changes.people import STAYED, reset
from plugins.breakout.domain.changes.seats import nobody_to_seat
from plugins.breakout.domain.changes.timing import invites_out
from plugins.breakout.domain.model import Confirm, Door, Pending, Person, Presence, Session, Settings
from plugins.breakout.domain.notices import MainPrepared, Notice
from plugins.breakout.domain.phases import require

KNOWN = frozenset(Presence) - {Presence.UNREACHABLE}
"""What a second `prepare` leaves as it is; who could not be invited is tried again."""


@dataclass(frozen=True, slots=True)
class Prepared(Gathered):
    """What came of `prepare`."""

    again: bool = False
    """All that there is to prepare was prepared before."""


def prepare(
    session: Session | None,
    *,
    by: str,
    people: Sequence[Person],
    now: datetime,
    settings: Settings,
    rng: Random,
    key: str,
    confirmed: bool = False,
) -> Change[Prepared | ConfirmAsked]:
    """Make the rooms and invite everybody now. Above `confirm_above` invites it asks first, as `start` does.

    It works in an empty hall: who joins later is seated then. Only groups of N need people, since from now on the
    number of rooms stays. Where the door is open nobody is invited, and nobody told, before the start.
    Raises `NobodyToSeat`, `TooManyRooms`.
    """
    session = require(session, "prepare")
    keeps = KNOWN if session.is_prepared else STAYED if session.kept else frozenset()
    ready, told = gathered(session, people, settings, rng, Prepared)
    if session.group_size is not None and not ready.seats:
        raise nobody_to_seat(session, people)
    seats = {user: reset(seat, passed=user in session.passed, keeps=keeps) for user, seat in ready.seats.items()}
    invites = session.door is Door.INVITE
    count = sum(seat.presence is Presence.ASSIGNED for seat in seats.values()) if invites else 0
    if count > settings.confirm_above and not confirmed:
        pending = Pending(Confirm.PREPARE, by, now + settings.confirm_within, key)
        return Change(replace(session, pending=pending), ConfirmAsked(pending, count, len(ready.open_rooms)))
    first = not session.is_prepared
    again = session.prepared_told and not count and all(room.room_id for room in ready.open_rooms)
    ready = replace(
        ready,
        rooms=tuple(replace(room, welcomed_at=None if first else room.welcomed_at) for room in ready.rooms),
        seats=seats,
        group_size=None,
        prepared_at=now,
        prepared_told=again,
        kept=session.kept and not invites,
        delete_announced=False,
        pending=None,
    )
    return Change(*_welcomed(ready, now, replace(told, again=again)))


def _welcomed(session: Session, now: datetime, told: Prepared) -> tuple[Session, Prepared, tuple[Notice, ...]]:
    """Rooms that exist already, for nobody waits for an invite to them."""
    notices: tuple[Notice, ...] = ()
    for room in session.open_rooms:
        change = welcome(session, room.number, now)
        session, notices = change.session, (*notices, *change.notices)
    return session, told, notices


def told_prepared(session: Session) -> Change[None]:
    """Said in the main room once all is ready. `advance` calls it; nobody else needs to."""
    if not session.is_prepared or session.prepared_told or session.prepared_at is None:
        return Change(session, None)
    if not invites_out(session):
        return Change(session, None)
    return Change(replace(session, prepared_told=True), None, (MainPrepared(session.id, session.prepared_at),))
