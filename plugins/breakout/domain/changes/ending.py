"""Ending a session, taking the end back, and deleting it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from plugins.breakout.domain.change import Change, ConfirmAsked
from plugins.breakout.domain.changes.timing import TimerSet, check_length, reopened, with_end
from plugins.breakout.domain.model import Confirm, OnEnd, Pending, Phase, Session, Settings
from plugins.breakout.domain.notices import (
    ClosingNotice,
    EndReason,
    HelpClosed,
    HelpEnd,
    MainEnded,
    Notice,
    RoomClosed,
)
from plugins.breakout.domain.phases import require
from plugins.breakout.domain.refusals import (
    EndJustGiven,
    NothingToCancel,
)

SECOND_END = timedelta(seconds=10)
"""Two moderators who end at the same time do not mean *at once*."""
NEAR_NOTICE = timedelta(seconds=15)
"""A warning as near as this to the closing notice is dropped."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of `end`: the moment at which the rooms lock, or None: they do now."""

    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionDeleted:
    """The session is gone; `was_running`: it was ended by that."""

    was_running: bool


def closing_notice(session: Session, now: datetime, settings: Settings) -> timedelta:
    """How long before the end the rooms are told: longer for a long round.

    A round with a timer is as long as the timer makes it; another one as long as it has lasted.
    """
    begun = session.clock_at or session.started_at or now
    until = session.timed_end or session.ends_at or now
    if until - begun >= settings.long_round:
        return max(settings.closing_notice, settings.long_closing_notice)
    return settings.closing_notice


def end(
    session: Session | None,
    *,
    by: str,
    now: datetime,
    settings: Settings,
    notice: timedelta | None = None,
    at_once: bool = False,
) -> Change[Ending]:
    """`end`, `end 2m` (`notice`), `end now` (`at_once`). Raises `EndJustGiven`, `BadLength`.

    A bare second `end` ends at once; `end 2m` while closing moves the end. A bare `end` never makes a
    timer's end later.
    """
    session = require(session, "end")
    closing = session.phase is Phase.CLOSING
    if notice is not None:
        check_length(notice, settings, "end")
    if closing and notice is None and not at_once:
        _require_not_just_given(session, by, now)
        at_once = True
    length = notice if notice is not None else closing_notice(session, now, settings)
    if at_once or length <= timedelta():
        ended, notices = finish(session, why=EndReason.MODERATOR, now=now, settings=settings)
        return Change(ended, Ending(None), notices)
    moment = now + length
    if notice is None and session.ends_at is not None:
        moment = min(moment, session.ends_at)
    session = replace(session, timed_end=session.timed_end if closing else session.ends_at)
    closed, notices = begin_closing(session, moment, by=by, now=now, settings=settings)
    return Change(closed, Ending(moment), notices)


def _require_not_just_given(session: Session, by: str, now: datetime) -> None:
    other = session.closing_by
    if other is None or other == by or session.closing_at is None or session.ends_at is None:
        return
    if now - session.closing_at < SECOND_END:
        raise EndJustGiven(other, session.ends_at)


def begin_closing(
    session: Session, moment: datetime, *, by: str | None, now: datetime, settings: Settings
) -> tuple[Session, tuple[Notice, ...]]:
    """The closing notice is given: the rooms lock at `moment`."""
    if by is not None:
        session = with_end(session, moment, now, settings)
    session = replace(session, phase=Phase.CLOSING, closing_by=by, closing_at=now, pending=None)
    return session, tuple(
        ClosingNotice(session.id, session.round, room.number, moment)
        for room in session.open_rooms
        if room.room_id is not None
    )


def cancel_end(session: Session | None, *, now: datetime, settings: Settings) -> Change[TimerSet]:
    """`end cancel`: runs on, with the timer that there was. Raises `NothingToCancel`.

    Where the timer itself has brought the end, or its moment is past by now, the round runs on without one.
    A time limit whose clock has not begun still holds.
    """
    session = require(session, "end")
    if session.phase is not Phase.CLOSING:
        raise NothingToCancel
    former = session.timed_end if session.closing_by is not None else None
    former = former if former is not None and former > now else None
    return reopened(session, former, now, settings)


def finish(
    session: Session, *, why: EndReason, now: datetime, settings: Settings
) -> tuple[Session, tuple[Notice, ...]]:
    """End the round now: rooms lock, their requests for help are closed, who passed may take part again.

    By the settings people are left in the rooms as readers.
    """
    notices: list[Notice] = []
    for room in session.open_rooms:
        if room.help:
            closed = HelpClosed(session.id, session.round, room.number, room.help.since, HelpEnd.ENDED, None)
            notices.append(closed)
        session = session.with_room(replace(room, help=None, locked=room.room_id is not None))
        if room.room_id is not None:
            notices.append(RoomClosed(session.id, session.round, room.number))
    notices.append(MainEnded(session.id, session.round, why))
    seats = (replace(seat, moved_from=None, moved_until=None, unwelcomed_since=None) for seat in session.seats.values())
    session = replace(
        session.with_seats(*seats),
        phase=Phase.ENDED,
        ended_at=now,
        kept=settings.on_end is OnEnd.KEEP,
        ends_at=None,
        limit=None,
        timed_end=None,
        closing_by=None,
        closing_at=None,
        passed=frozenset(),
        outsiders=frozenset(),
        waiting=frozenset(),
    )
    return session, tuple(notices)


def delete(session: Session | None, *, by: str, now: datetime, settings: Settings, key: str) -> Change[ConfirmAsked]:
    """`delete`: asks first; `key` is the outbox key of the question."""
    session = require(session, "delete")
    pending = Pending(Confirm.DELETE, by, now + settings.confirm_within, key)
    asked = ConfirmAsked(pending, len(session.seats), len(session.open_rooms))
    return Change(replace(session, pending=pending), asked)


def deleted(session: Session, *, now: datetime) -> Change[SessionDeleted]:
    """The session is given up; while it runs it is ended first."""
    notices: tuple[Notice, ...] = ()
    was_running = session.phase in (Phase.RUNNING, Phase.CLOSING)
    if was_running:
        session, notices = finish(session, why=EndReason.DELETE, now=now, settings=Settings(on_end=OnEnd.REMOVE))
    return Change(discard(session), SessionDeleted(was_running), notices)


def forgotten(session: Session) -> Session:
    """What is kept of a session of which nothing is left: that there was one, with its rooms; nobody's name or word."""
    return Session(
        id=session.id,
        main=session.main,
        phase=session.phase,
        mode=session.mode,
        rooms=tuple(replace(room, task="", help=None) for room in session.rooms),
        set_up_by="",
        revision=session.revision,
        round=session.round,
        started_at=session.started_at,
        ended_at=session.ended_at,
    )


def discard(session: Session) -> Session:
    """The session deleted: nothing of it is wanted any more."""
    return replace(session, phase=Phase.DELETED, pending=None)
