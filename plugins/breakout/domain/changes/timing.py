"""The clock of a round: when it begins, its timer, more time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.observed import welcome
from plugins.breakout.domain.model import Door, Phase, Presence, Session, Settings
from plugins.breakout.domain.notices import (
    ClockBegan,
    MainStarted,
    Notice,
    TimeChanged,
)
from plugins.breakout.domain.phases import require
from plugins.breakout.domain.refusals import (
    BadLength,
    NoTimer,
)

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TimerSet:
    """The end as it is now: None without a timer; `limit` where its clock has not begun."""

    ends_at: datetime | None
    limit: timedelta | None
    reopened: bool = False
    """The closing notice is taken back."""


def begin_clock(session: Session, *, now: datetime, settings: Settings) -> tuple[Session, tuple[Notice, ...]]:
    """The invites are out: the time limit runs from now. The start and `advance` call it; nobody else needs to."""
    unaware = any(room.welcomed_at for room in session.open_rooms)
    session = replace(session, clock_at=now)
    notices: tuple[Notice, ...] = ()
    for room in session.open_rooms:
        welcomed = welcome(session, room.number, now, at_last=True)
        session, notices = welcomed.session, (*notices, *welcomed.notices)
    notices += (MainStarted(session.id, session.round),)
    if session.limit is not None:
        moment = min(now + session.limit, last_end(session, now, settings))
        session = with_end(replace(session, limit=None), moment, now, settings)
        if unaware:
            notices += (ClockBegan(session.id, session.round, moment),)
    return session, notices


def invites_out(session: Session) -> bool:
    """Whether nobody waits for a room or an invite any more."""
    made = all(room.room_id is not None for room in session.open_rooms)
    if session.door is Door.OPEN:
        return made
    return made and all(seat.presence is not Presence.ASSIGNED for seat in session.seats.values())


def with_end(session: Session, moment: datetime | None, now: datetime, settings: Settings) -> Session:
    """The session with this end; warnings that are longer than what is left count as given.

    None is without one, except where it was announced that the session ends by itself: then it does.
    """
    if moment is None and session.duration_announced:
        moment = last_end(session, now, settings)
    skipped = [warning for warning in settings.warnings if moment is not None and moment - warning <= now]
    return replace(session, ends_at=moment, warned=frozenset(seconds(warning) for warning in skipped))


def seconds(length: timedelta) -> int:
    """A length in whole seconds."""
    return round(length.total_seconds())


def check_length(length: timedelta, settings: Settings, command: str, left: timedelta | None = None) -> None:
    """Raise `BadLength` for what is no length of a round; `left` of the session, where less than a whole one is.

    `command` asked for it.
    """
    most = min(settings.max_timer, settings.max_duration if left is None else left)
    if not timedelta() < length <= most:
        raise BadLength(length, max(_MINUTE, most - most % _MINUTE), command)


def last_end(session: Session, now: datetime, settings: Settings) -> datetime:
    """When the session ends by itself at the latest, where it runs or is to begin now."""
    return (session.started_at or now) + settings.max_duration


def set_timer(
    session: Session | None, length: timedelta | None, *, now: datetime, settings: Settings
) -> Change[TimerSet]:
    """`timer 15m` counts from now; None is `timer off`. Raises `NoTimer`, `BadLength`.

    Before the clock of `start 20m` has begun the timer takes its place, from now on.
    """
    session = require(session, "timer")
    if length is None:
        if session.ends_at is None and session.limit is None:
            raise NoTimer("timer off")
    else:
        check_length(length, settings, "timer", last_end(session, now, settings) - now)
    moment = None if length is None else now + length
    changed = with_end(replace(session, limit=None), moment, now, settings)
    return Change(changed, TimerSet(changed.ends_at, None), _time_changed(changed, now, reopened=False))


def extend(session: Session | None, length: timedelta, *, now: datetime, settings: Settings) -> Change[TimerSet]:
    """`extend 5m` moves the end; while closing it takes the end back. Raises `NoTimer`, `BadLength`.

    While closing it counts from the end that the rooms were told, whoever gave it.
    """
    session = require(session, "extend")
    check_length(length, settings, "extend")
    if session.ends_at is None:
        if session.limit is None:
            raise NoTimer("extend")
        longer = replace(session, limit=session.limit + length)
        check_length(session.limit + length, settings, "extend")
        return Change(longer, TimerSet(None, longer.limit))
    moment = session.ends_at + length
    if session.phase is Phase.CLOSING and session.timed_end is not None:
        moment = max(moment, session.timed_end)  # more time never ends up as less than the timer gave
    check_length(moment - now, settings, "extend", last_end(session, now, settings) - now)
    if session.phase is Phase.CLOSING:
        return reopened(session, moment, now, settings)
    changed = with_end(session, moment, now, settings)
    return Change(changed, TimerSet(moment, None), _time_changed(changed, now, reopened=False))


def reopened(session: Session, moment: datetime | None, now: datetime, settings: Settings) -> Change[TimerSet]:
    """The closing notice is taken back; `moment` is the new end, None: there is none set."""
    session = replace(session, phase=Phase.RUNNING, timed_end=None, closing_by=None, closing_at=None)
    if moment is not None:
        session = replace(session, limit=None)
    session = with_end(session, moment, now, settings)
    return Change(
        session, TimerSet(session.ends_at, session.limit, reopened=True), _time_changed(session, now, reopened=True)
    )


def _time_changed(session: Session, now: datetime, *, reopened: bool) -> tuple[Notice, ...]:
    """One notice in each room that exists: people there plan their talk by the clock."""
    return tuple(
        TimeChanged(session.id, session.round, room.number, now, session.ends_at, reopened)
        for room in session.open_rooms
        if room.room_id is not None
    )
