"""Starting a round: who is seated, what is asked first, and the yes to what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from plugins.breakout.domain.change import Change, ConfirmAsked
from plugins.breakout.domain.changes.ending import SessionDeleted, deleted
from plugins.breakout.domain.changes.gathering import Gathered, gathered
from plugins.breakout.domain.changes.observed import told as told_of_rooms
from plugins.breakout.domain.changes.observed import welcome
from plugins.breakout.domain.changes.people import STAYED, participants, reset, to_deal
from plugins.breakout.domain.changes.preparing import Prepared, prepare
from plugins.breakout.domain.changes.seats import nobody_to_seat
from plugins.breakout.domain.changes.timing import begin_clock, check_length, invites_out
from plugins.breakout.domain.model import Confirm, Mode, Pending, Person, Phase, Presence, Session, Settings
from plugins.breakout.domain.notices import (
    ChooseNow,
    Notice,
)
from plugins.breakout.domain.phases import require
from plugins.breakout.domain.refusals import (
    NothingToConfirm,
    NotYoursToConfirm,
    RoomsWouldBeEmpty,
)

KNOWN_AHEAD = frozenset({Presence.INVITED, Presence.JOINED, Presence.DECLINED, Presence.LEFT, Presence.REMOVED})
"""What people made of an invite ahead of the start holds: who said no is not asked again by itself."""


@dataclass(frozen=True, slots=True)
class Started(Gathered):
    """What came of `start`."""


def start(
    session: Session | None,
    *,
    by: str,
    people: Sequence[Person],
    now: datetime,
    settings: Settings,
    rng: Random,
    key: str,
    limit: timedelta | None = None,
    confirmed: bool = False,
) -> Change[Started | ConfirmAsked]:
    """Start a round. Above `confirm_above` people it asks first; `key` is the outbox key of that question.

    Raises `NobodyToSeat`, `RoomsWouldBeEmpty`, `TooManyRooms`, `BadLength`, also before asking.
    """
    session = require(session, "start")
    if limit is not None:
        check_length(limit, settings, "start")
    started, told = gathered(session, people, settings, rng, Started)
    _require_seats(started, people)
    count = len(started.seats) if session.mode is not Mode.CHOOSE else len(participants(session, people))
    if count > settings.confirm_above and not confirmed:
        pending = Pending(Confirm.START, by, now + settings.confirm_within, key, limit)
        again = session.pending is not None and now <= session.pending.until
        asked = ConfirmAsked(pending, count, len(started.open_rooms), again=again)
        return Change(replace(session, pending=pending), asked)
    return _begun(started, told, by, limit, now, settings)


def _require_seats(session: Session, people: Sequence[Person]) -> None:
    if not session.seats and session.mode is not Mode.CHOOSE:
        raise nobody_to_seat(session, people)
    empty = [room for room in session.open_rooms if not session.people_of(room.number)]
    if empty and session.mode is Mode.AUTO:
        count = len(session.open_rooms)
        dealt_anew = to_deal(replace(session, seats={}, left_out=frozenset()), people)
        raise RoomsWouldBeEmpty(
            tuple(room.name for room in empty),
            tuple(room.number for room in empty),
            people=len(session.seats),
            count=count,
            fitting=min(len(dealt_anew), count - len(empty)),
            asked_with=session.asked_with,
        )


def _begun(
    session: Session, told: Started, by: str, limit: timedelta | None, now: datetime, settings: Settings
) -> Change[Started | ConfirmAsked]:
    """The round runs; where everybody is invited already, so does its clock."""
    keeps = KNOWN_AHEAD if session.is_prepared else STAYED if session.kept else frozenset()
    session = replace(
        _fresh_round(session),
        phase=Phase.RUNNING,
        round=session.round + 1,
        seats={user: reset(seat, passed=user in session.passed, keeps=keeps) for user, seat in session.seats.items()},
        limit=limit,
        started_at=now,
        started_by=by,
    )
    session = told_of_rooms(session, now=now, settings=settings).session
    notices: tuple[Notice, ...] = ()
    if invites_out(session):
        session, notices = begin_clock(session, now=now, settings=settings)
    for room in session.open_rooms:
        welcomed = welcome(session, room.number, now)
        session, notices = welcomed.session, (*notices, *welcomed.notices)
    if session.mode is Mode.CHOOSE and told.unseated:
        notices += (ChooseNow(session.id, session.round, told.unseated),)
    return Change(session, told, notices)


def _fresh_round(session: Session) -> Session:
    """The session without anything that belongs to one round only."""
    return replace(
        session,
        prepared_at=None,
        prepared_told=False,
        rooms=tuple(replace(room, welcomed_at=None, welcomed_again=False) for room in session.rooms),
        limit=None,
        started_at=None,
        clock_at=None,
        ends_at=None,
        timed_end=None,
        closing_by=None,
        closing_at=None,
        ended_at=None,
        kept=False,
        warned=frozenset(),
        forewarned=False,
        waiting=frozenset(),
        guests=frozenset(),
        asked_at={},
        pending=None,
        reminded=False,
        duration_announced=False,
        delete_announced=False,
    )


def confirm(
    session: Session | None,
    *,
    by: str,
    people: Sequence[Person],
    now: datetime,
    settings: Settings,
    rng: Random,
    what: Confirm | None = None,
    key: str | None = None,
) -> Change[Started | Prepared | ConfirmAsked | SessionDeleted]:
    """Say yes: typed by any moderator (`what`: which question), or ✅ on the message of `key`.

    Raises `NothingToConfirm`, `NotYoursToConfirm`, and what `start` raises; typed, what `require` raises.
    """
    pending = session.pending if session is not None and session.phase is not Phase.DELETED else None
    if pending is not None and now > pending.until:
        pending = None
    if what is not None and pending is not None and pending.what is not what:
        raise NothingToConfirm(what, waits=pending.what)
    if what is not None:
        session = require(session, f"{what} confirm")
    if session is None or pending is None or (key is not None and pending.key != key):
        raise NothingToConfirm(what)
    if key is not None and by != pending.asked_by:
        raise NotYoursToConfirm(pending.what, pending.asked_by)
    session = replace(session, pending=None)
    if pending.what is Confirm.DELETE:
        return deleted(session, now=now)
    by, key = pending.asked_by, pending.key
    if pending.what is Confirm.PREPARE:
        return prepare(session, by=by, people=people, now=now, settings=settings, rng=rng, key=key, confirmed=True)
    return start(
        session,
        by=by,
        people=people,
        now=now,
        settings=settings,
        rng=rng,
        key=key,
        limit=pending.limit,
        confirmed=True,
    )
