"""All that time alone does to a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.ending import NEAR_NOTICE, begin_closing, closing_notice, discard, finish
from plugins.breakout.domain.changes.help import attended
from plugins.breakout.domain.changes.observed import told
from plugins.breakout.domain.changes.preparing import told_prepared
from plugins.breakout.domain.changes.timing import begin_clock, invites_out, last_end, seconds, with_end
from plugins.breakout.domain.changes.together import ask_to_go, ways_to_ask, welcome_moment, welcome_newcomers
from plugins.breakout.domain.model import Door, Mode, Phase, Presence, Room, Session, Settings
from plugins.breakout.domain.notices import (
    Deleted,
    DeleteSoon,
    EndReason,
    HelpReminded,
    MaxDurationSoon,
    Notice,
    NotYetIn,
    PassedWhileDown,
    WarningGiven,
    WelcomeAgain,
)

ACTIVE = (Phase.RUNNING, Phase.CLOSING)
_MINUTE, _FIVE = timedelta(minutes=1), 5
Step = tuple[Session, tuple[Notice, ...]]


def advance(session: Session, *, now: datetime, settings: Settings) -> Change[None]:
    """Do what is due by `now`; once more for the same `now`, it returns the same session and no notices."""
    notices: list[Notice] = []
    for step in (
        _pending,
        _prepared,
        _told,
        _clock,
        _deadline,
        _duration,
        _warnings,
        _not_yet_in,
        _welcome_again,
        _welcome_newcomers,
        _ask_to_go,
        _moves,
        _help,
        _deletion,
    ):
        session, said = step(session, now, settings)
        notices.extend(said)
    return Change(session, None, tuple(notices))


def next_moment(session: Session, settings: Settings) -> datetime | None:
    """When `advance` has something to do next; None: nothing until something else happens."""
    return min(_moments(session, settings), default=None)


def rough_left(left: timedelta) -> timedelta:
    """The time left as a board says it, which nobody rewrites each second: in fives, the last five minutes in ones."""
    minutes = max(1, -(-left // _MINUTE))
    return _MINUTE * (minutes if minutes <= _FIVE else -(-minutes // _FIVE) * _FIVE)


def board_moment(session: Session, now: datetime) -> datetime | None:
    """When the time left on the board is not true any more."""
    if session.phase is not Phase.RUNNING or session.ends_at is None or session.ends_at <= now:
        return None
    shown = rough_left(session.ends_at - now)
    later = shown - _MINUTE * (1 if shown <= _MINUTE * _FIVE else _FIVE)
    return session.ends_at - later if later else None


def _moments(session: Session, settings: Settings) -> Iterator[datetime]:
    if session.phase is Phase.DELETED:
        return
    if session.pending:
        yield session.pending.until
    if (idle := _idle_since(session)) is not None:
        yield _delete_moment(session, idle, settings)
    if session.phase not in ACTIVE or session.started_at is None:
        return
    if session.clock_at is None and session.phase is Phase.RUNNING:
        yield session.started_at + settings.clock_patience
    if session.ends_at:
        yield _lock_at(session, session.ends_at, settings)
        if session.phase is Phase.RUNNING:
            yield _notice_at(session, session.ends_at, settings) - settings.tell_earlier
        warnings = _open_warnings(session, session.ends_at, settings)
        yield from (session.ends_at - warning - settings.tell_earlier for warning in warnings)
    yield _duration_moment(session, session.started_at, settings)
    if session.clock_at and (_will_remind(session) or _to_welcome_again(session)):
        yield session.clock_at + settings.not_in_after
    yield from (seat.moved_until for seat in session.seats.values() if seat.moved_until)
    if session.phase is Phase.RUNNING:
        yield from ways_to_ask(session).values()
    yield from filter(None, (welcome_moment(session, room.number) for room in session.open_rooms))
    for room in session.open_rooms:
        yield from _help_moments(room, settings)


def _pending(session: Session, now: datetime, _: Settings) -> Step:
    """A question not answered in time is forgotten."""
    if session.pending and now >= session.pending.until:
        return replace(session, pending=None), ()
    return session, ()


def _prepared(session: Session, now: datetime, settings: Settings) -> Step:
    """All invites ahead of the start are out."""
    del now, settings
    change = told_prepared(session)
    return change.session, change.notices


def _told(session: Session, now: datetime, settings: Settings) -> Step:
    """Where the door is open, people know of rooms that exist."""
    change = told(session, now=now, settings=settings)
    return change.session, change.notices


def _clock(session: Session, now: datetime, settings: Settings) -> Step:
    """The clock begins when the last invite is out, at the latest `clock_patience` after the start."""
    if session.phase is not Phase.RUNNING or session.clock_at is not None or session.started_at is None:
        return session, ()
    latest = session.started_at + settings.clock_patience
    if now < latest and not invites_out(session):
        return session, ()
    return begin_clock(session, now=min(now, latest), settings=settings)


def _deadline(session: Session, now: datetime, settings: Settings) -> Step:
    """The closing notice of a timer, and the end itself."""
    if session.phase not in ACTIVE or session.ends_at is None:
        return session, ()
    moment = session.ends_at
    if now >= _lock_at(session, moment, settings):
        why = EndReason.TIMER if session.closing_by is None else EndReason.MODERATOR
        if why is EndReason.TIMER and moment >= last_end(session, now, settings):
            why = EndReason.MAX_DURATION
        missed = (PassedWhileDown(session.id, session.round, moment),) if _late(moment, now, settings) else ()
        ended, notices = finish(session, why=why, now=now, settings=settings)
        return ended, (*missed, *notices)
    if session.phase is Phase.RUNNING and now >= _notice_at(session, moment, settings) - settings.tell_earlier:
        return begin_closing(session, moment, by=None, now=now, settings=settings)
    return session, ()


def _late(moment: datetime, now: datetime, settings: Settings) -> bool:
    return now - moment > settings.in_time


def _notice_at(session: Session, ends_at: datetime, settings: Settings) -> datetime:
    """When the last room is to have the timer's closing notice."""
    return ends_at - closing_notice(session, ends_at, settings)


def _lock_at(session: Session, ends_at: datetime, settings: Settings) -> datetime:
    """When the first room is locked, so that the last one is at `ends_at`: after half of the notice at the earliest."""
    began = session.closing_at or _notice_at(session, ends_at, settings)
    return ends_at - min(settings.lock_earlier, max(timedelta(), ends_at - began) / 2)


def _duration_moment(session: Session, started_at: datetime, settings: Settings) -> datetime:
    end = started_at + settings.max_duration
    return end if session.duration_announced else end - min(settings.duration_notice, settings.max_duration / 2)


def _duration(session: Session, now: datetime, settings: Settings) -> Step:
    """No session runs for ever: its last end is a deadline as a timer's is, with warnings and notice in the rooms."""
    if session.phase not in ACTIVE or session.started_at is None:
        return session, ()
    if now < _duration_moment(session, session.started_at, settings):
        return session, ()
    end = last_end(session, now, settings)
    if now >= end:
        missed = (PassedWhileDown(session.id, session.round, end),) if _late(end, now, settings) else ()
        ended, notices = finish(session, why=EndReason.MAX_DURATION, now=now, settings=settings)
        return ended, (*missed, *notices)
    soon = MaxDurationSoon(session.id, session.round, end)
    session = replace(session, duration_announced=True)
    if session.ends_at is not None and session.ends_at <= end:
        return session, ()
    return with_end(session, end, now, settings), (soon,)


def _open_warnings(session: Session, ends_at: datetime, settings: Settings) -> tuple[timedelta, ...]:
    """The warnings that are still to be given, longest first; one near the closing notice is none."""
    notices = [_notice_at(session, ends_at, settings)] if session.closing_by is None else []
    notices += [session.closing_at] if session.closing_at is not None else []
    return tuple(
        warning
        for warning in sorted(settings.warnings, reverse=True)
        if seconds(warning) not in session.warned
        and all(abs(ends_at - warning - notice) > NEAR_NOTICE for notice in notices)
    )


def _warnings(session: Session, now: datetime, settings: Settings) -> Step:
    """Warnings that are due; one that is found late by more than half of its time is skipped as missed."""
    if session.phase not in ACTIVE or session.ends_at is None:
        return session, ()
    ends_at = session.ends_at
    due = [w for w in _open_warnings(session, ends_at, settings) if ends_at - w - settings.tell_earlier <= now]
    if not due:
        return session, ()
    notices: list[Notice] = []
    warning = due[-1]
    if now - (ends_at - warning) <= min(settings.in_time, warning / 2):
        rest = [w for w in _open_warnings(session, ends_at, settings) if w < warning]
        notices.extend(
            WarningGiven(
                session.id,
                session.round,
                room.number,
                seconds(warning),
                ends_at,
                first=not session.forewarned,
                last=not rest,
            )
            for room in session.open_rooms
            if room.room_id is not None
        )
    warned = session.warned | {seconds(w) for w in due}
    return replace(session, warned=warned, forewarned=session.forewarned or bool(notices)), tuple(notices)


def _will_remind(session: Session) -> bool:
    return session.phase is Phase.RUNNING and session.clock_at is not None and not session.reminded


def _not_yet_in(session: Session, now: datetime, settings: Settings) -> Step:
    """Once a round those are named who have an open invite; who declined or left knows what he does."""
    if not _will_remind(session) or session.clock_at is None or now < session.clock_at + settings.not_in_after:
        return session, ()
    users = tuple(seat.user for seat in session.seats.values() if seat.presence is Presence.INVITED)
    notices = (NotYetIn(session.id, session.round, users),) if users else ()
    return replace(session, reminded=True), notices


def _to_welcome_again(session: Session) -> tuple[Room, ...]:
    if session.door is not Door.OPEN or session.phase is not Phase.RUNNING:
        return ()
    return tuple(room for room in session.open_rooms if room.welcomed_at and not room.welcomed_again)


def _welcome_again(session: Session, now: datetime, settings: Settings) -> Step:
    """Who walks in cannot read what was said before: the welcome is repeated once, when the joins have settled."""
    settled = session.clock_at is not None and now >= session.clock_at + settings.not_in_after
    notices: list[Notice] = []
    for room in _to_welcome_again(session):
        presences = [seat.presence for seat in session.people_of(room.number)]
        all_in = not any(presence in (Presence.ASSIGNED, Presence.INVITED) for presence in presences)
        if not settled and (session.mode is Mode.CHOOSE or not all_in):
            continue
        session = session.with_room(replace(room, welcomed_again=True))
        if sum(presence in (Presence.JOINED, Presence.IN_MAIN) for presence in presences) > 1:
            notices.append(WelcomeAgain(session.id, session.round, room.number, room.attempt))
    return session, tuple(notices)


def _welcome_newcomers(session: Session, now: datetime, _: Settings) -> Step:
    """Who came into a room later waits no longer for those who are still on the way."""
    notices: list[Notice] = []
    for room in session.open_rooms if session.phase in ACTIVE else ():
        change = welcome_newcomers(session, room.number, now)
        session = change.session
        notices.extend(change.notices)
    return session, tuple(notices)


def _ask_to_go(session: Session, now: datetime, _: Settings) -> Step:
    """Whose invite to another room is out waits no longer for those who are to go with them."""
    notices: list[Notice] = []
    for old, new in ways_to_ask(session):
        change = ask_to_go(session, old, new, now)
        session = change.session
        notices.extend(change.notices)
    return session, tuple(notices)


def _moves(session: Session, now: datetime, _: Settings) -> Step:
    """Who has not followed a move in time is no longer kept in the old room."""
    over = [seat for seat in session.seats.values() if seat.moved_until and seat.moved_until <= now]
    if session.phase not in ACTIVE or not over:
        return session, ()
    return session.with_seats(*(replace(seat, moved_from=None, moved_until=None) for seat in over)), ()


def _help_moments(room: Room, settings: Settings) -> Iterator[datetime]:
    request = room.help
    if request and request.attended_since:
        yield request.attended_since + settings.help_stay
    elif request and request.claimed_by is None and not request.reminded:
        yield request.since + settings.help_reminder


def _help(session: Session, now: datetime, settings: Settings) -> Step:
    """A moderator who has stayed closes the request; one that nobody answers is said once more."""
    if session.phase not in ACTIVE:
        return session, ()
    notices: list[Notice] = []
    for room in session.open_rooms:
        if room.help is None or not any(moment <= now for moment in _help_moments(room, settings)):
            continue
        if room.help.attended_since:
            session, closed = attended(session, room.number)
            notices.extend(closed)
        else:
            session = session.with_room(replace(room, help=replace(room.help, reminded=True)))
            said = HelpReminded(session.id, session.round, room.number, room.help.since, room.help.user)
            notices.append(said)
    return session, tuple(notices)


def _idle_since(session: Session) -> datetime | None:
    """Since when rooms are there that nobody talks in: the end, or the preparing of a start that did not come."""
    if session.is_prepared:
        return session.prepared_at
    return session.ended_at if session.phase is Phase.ENDED else None


def _delete_moment(session: Session, idle: datetime, settings: Settings) -> datetime:
    end = idle + settings.delete_after
    return end if session.delete_announced else end - min(settings.delete_notice, settings.delete_after / 2)


def _deletion(session: Session, now: datetime, settings: Settings) -> Step:
    """Rooms that nobody talks in are not kept for ever."""
    idle = _idle_since(session)
    if idle is None or now < _delete_moment(session, idle, settings):
        return session, ()
    end = idle + settings.delete_after
    if now < end:
        return replace(session, delete_announced=True), (DeleteSoon(session.id, session.round, end),)
    missed = (PassedWhileDown(session.id, session.round, end),) if _late(end, now, settings) else ()
    return discard(session), (*missed, Deleted(session.id))
