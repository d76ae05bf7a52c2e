"""Starting, timing, ending and deleting a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from random import Random

from plugins.breakout.domain.assignment import deal, level, smallest_room
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.observed import welcome
from plugins.breakout.domain.changes.people import (
    numbers,
    participants,
    reset,
    seated_in,
    to_deal,
    without_seat,
)
from plugins.breakout.domain.changes.rooms import next_number, numbered
from plugins.breakout.domain.changes.seats import nobody_to_seat
from plugins.breakout.domain.changes.setup import count_groups
from plugins.breakout.domain.model import Confirm, Mode, Pending, Person, Phase, Seat, Session, Settings
from plugins.breakout.domain.notices import (
    ChooseNow,
    ClockBegan,
    ClosingNotice,
    EndReason,
    HelpClosed,
    HelpEnd,
    MainEnded,
    MainStarted,
    Notice,
    RoomClosed,
    TimeChanged,
)
from plugins.breakout.domain.phases import require
from plugins.breakout.domain.refusals import (
    BadLength,
    EndJustGiven,
    NothingToCancel,
    NothingToConfirm,
    NoTimer,
    NotYoursToConfirm,
    RoomsWouldBeEmpty,
)

SECOND_END = timedelta(seconds=10)
"""Two moderators who end at the same time do not mean *at once*."""
NEAR_NOTICE = timedelta(seconds=15)
"""A warning as near as this to the closing notice is dropped."""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of `start`."""

    seated: int
    newcomers: tuple[tuple[str, int], ...]
    """Seated just now: they had no seat at `setup`."""
    gone: tuple[str, ...]
    """They left the main room and lost their seats."""
    moved: tuple[tuple[str, int, int], ...]
    """Moved so that sizes differ by at most one (auto): user, former room, new room."""
    unseated: tuple[str, ...]
    rooms_before: int
    """How many rooms there were before groups of N were counted again."""


@dataclass(frozen=True, slots=True)
class ConfirmAsked:
    """The question that waits for a yes, and what saying yes would touch."""

    pending: Pending
    people: int
    rooms: int


@dataclass(frozen=True, slots=True)
class TimerSet:
    """The end as it is now: None without a timer; `limit` where its clock has not begun."""

    ends_at: datetime | None
    limit: timedelta | None
    reopened: bool = False
    """The closing notice is taken back."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of `end`: the moment at which the rooms lock, or None: they do now."""

    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionDeleted:
    """The session is gone; `was_running`: it was ended by that."""

    was_running: bool


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
        check_length(limit, settings)
    started, told = _ready(session, people, settings, rng)
    count = len(started.seats) if session.mode is not Mode.CHOOSE else len(participants(session, people))
    if count > settings.confirm_above and not confirmed:
        pending = Pending(Confirm.START, by, now + settings.confirm_within, key, limit)
        asked = ConfirmAsked(pending, count, len(started.open_rooms))
        return Change(replace(session, pending=pending), asked)
    return _begun(started, told, by, limit, now)


def _ready(session: Session, people: Sequence[Person], settings: Settings, rng: Random) -> tuple[Session, Started]:
    """The session with the seats of those who are present, and what came of it."""
    planned = session
    present = {person.user for person in people}
    gone = tuple(user for user in session.seats if user not in present)
    session = _recounted(session.without_seats(*gone), people, settings, rng)
    if session.mode is Mode.AUTO:
        session = _dealt(session, people, rng)
    if not session.seats and session.mode is not Mode.CHOOSE:
        raise nobody_to_seat(session, people)
    empty = [room.name for room in session.open_rooms if not session.people_of(room.number)]
    if empty and session.mode is Mode.AUTO:
        raise RoomsWouldBeEmpty(tuple(empty), len(session.seats), len(session.open_rooms))
    before, after = seated_in(planned), seated_in(session)
    told = Started(
        seated=len(after),
        newcomers=tuple((user, number) for user, number in after.items() if user not in before),
        gone=gone,
        moved=tuple(
            (user, before[user], number) for user, number in after.items() if before.get(user, number) != number
        ),
        unseated=without_seat(session, people),
        rooms_before=len(planned.open_rooms),
    )
    return session, told


def _recounted(session: Session, people: Sequence[Person], settings: Settings, rng: Random) -> Session:
    """Groups of N counted again, before the first start and while no seat was set by hand.

    Another number of rooms deals everybody again, since all sizes change. A room that somebody chose counts
    as set by hand.
    """
    if session.group_size is None or session.phase is Phase.ENDED:
        return session
    if any(seat.by_hand or session.mode is Mode.CHOOSE for seat in session.seats.values()):
        return session
    everybody = (*session.seats, *to_deal(session, people))
    count = count_groups(len(everybody), session.group_size, settings)
    rooms = session.open_rooms
    if count == len(rooms):
        return session
    taken = {room.name.casefold() for room in rooms}
    spare = (room for room in numbered(count, next_number(session)) if room.name.casefold() not in taken)
    more = list(islice(spare, max(0, count - len(rooms))))
    session = replace(session, rooms=(*rooms[:count], *more))
    dealt = deal(everybody, numbers(session), rng, {}) if session.mode is Mode.AUTO else {}
    return replace(session, seats={user: Seat(user, number) for user, number in dealt.items()})


def _dealt(session: Session, people: Sequence[Person], rng: Random) -> Session:
    """Newcomers in the smallest rooms; then as few dealt people as needed move, to make sizes even."""
    newcomers = list(to_deal(session, people))
    rng.shuffle(newcomers)
    for user in newcomers:
        session = session.with_seats(Seat(user, smallest_room(numbers(session), seated_in(session))))
    by_hand = frozenset(user for user, seat in session.seats.items() if seat.by_hand)
    levelled = level(seated_in(session), numbers(session), by_hand)
    return session.with_seats(*(replace(session.seats[user], room=number) for user, number in levelled.items()))


def _begun(
    session: Session, told: Started, by: str, limit: timedelta | None, now: datetime
) -> Change[Started | ConfirmAsked]:
    session = replace(
        _fresh_round(session),
        phase=Phase.RUNNING,
        round=session.round + 1,
        seats={user: reset(seat, passed=user in session.passed) for user, seat in session.seats.items()},
        limit=limit,
        started_at=now,
        started_by=by,
    )
    notices: list[Notice] = []
    for room in session.open_rooms:
        welcomed = welcome(session, room.number, now)
        session = welcomed.session
        notices.extend(welcomed.notices)
    if session.mode is Mode.CHOOSE and told.unseated:
        notices.append(ChooseNow(session.id, session.round, told.unseated))
    return Change(session, told, tuple(notices))


def _fresh_round(session: Session) -> Session:
    """The session without anything that belongs to one round only."""
    return replace(
        session,
        rooms=tuple(replace(room, welcomed_at=None) for room in session.rooms),
        limit=None,
        started_at=None,
        clock_at=None,
        ends_at=None,
        timed_end=None,
        closing_by=None,
        closing_at=None,
        ended_at=None,
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
) -> Change[Started | ConfirmAsked | SessionDeleted]:
    """Say yes: typed by any moderator (`what`: which question), or ✅ on the message of `key`.

    Raises `NothingToConfirm`, `NotYoursToConfirm`, and what `start` raises.
    """
    if session is None or session.pending is None or session.phase is Phase.DELETED:
        raise NothingToConfirm(what)
    pending = session.pending
    fits = pending.key == key if key is not None else what in (None, pending.what)
    if not fits or now > pending.until:
        raise NothingToConfirm(what)
    if key is not None and by != pending.asked_by:
        raise NotYoursToConfirm(pending.what, pending.asked_by)
    session = replace(session, pending=None)
    if pending.what is Confirm.DELETE:
        return _deleted(session, now=now)
    asked_by = pending.asked_by
    return start(
        session,
        by=asked_by,
        people=people,
        now=now,
        settings=settings,
        rng=rng,
        key=pending.key,
        limit=pending.limit,
        confirmed=True,
    )


def begin_clock(session: Session, *, now: datetime, settings: Settings) -> tuple[Session, tuple[Notice, ...]]:
    """The invites are out: the time limit runs from now. `advance` calls it; nobody else needs to."""
    session = replace(session, clock_at=now)
    notices: tuple[Notice, ...] = ()
    for room in session.open_rooms:
        welcomed = welcome(session, room.number, now, at_last=True)
        session, notices = welcomed.session, (*notices, *welcomed.notices)
    notices += (MainStarted(session.id, session.round),)
    if session.limit is not None:
        moment = now + session.limit
        session = _ends_at(replace(session, limit=None), moment, now, settings)
        notices += (ClockBegan(session.id, session.round, moment),)
    return session, notices


def _ends_at(session: Session, moment: datetime | None, now: datetime, settings: Settings) -> Session:
    """The session with this end; warnings that are longer than what is left count as given."""
    skipped = [warning for warning in settings.warnings if moment is not None and moment - warning <= now]
    return replace(session, ends_at=moment, warned=frozenset(seconds(warning) for warning in skipped))


def seconds(length: timedelta) -> int:
    """A length in whole seconds."""
    return round(length.total_seconds())


def check_length(length: timedelta, settings: Settings) -> None:
    """Raise `BadLength` for what is no length of a round."""
    if not timedelta() < length <= settings.max_timer:
        raise BadLength(length, settings.max_timer)


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
        check_length(length, settings)
    moment = None if length is None else now + length
    changed = _ends_at(replace(session, limit=None), moment, now, settings)
    return Change(changed, TimerSet(moment, None), _time_changed(changed, now, reopened=False))


def extend(session: Session | None, length: timedelta, *, now: datetime, settings: Settings) -> Change[TimerSet]:
    """`extend 5m` moves the end; while closing it takes the end back. Raises `NoTimer`, `BadLength`.

    While closing it counts from the end that the rooms were told, whoever gave it.
    """
    session = require(session, "extend")
    check_length(length, settings)
    if session.ends_at is None:
        if session.limit is None:
            raise NoTimer("extend")
        longer = replace(session, limit=session.limit + length)
        check_length(session.limit + length, settings)
        return Change(longer, TimerSet(None, longer.limit))
    moment = session.ends_at + length
    if session.phase is Phase.CLOSING and session.timed_end is not None:
        moment = max(moment, session.timed_end)  # more time never ends up as less than the timer gave
    check_length(moment - now, settings)
    if session.phase is Phase.CLOSING:
        return _reopened(session, moment, now, settings)
    changed = _ends_at(session, moment, now, settings)
    return Change(changed, TimerSet(moment, None), _time_changed(changed, now, reopened=False))


def _reopened(session: Session, moment: datetime | None, now: datetime, settings: Settings) -> Change[TimerSet]:
    session = replace(session, phase=Phase.RUNNING, timed_end=None, closing_by=None, closing_at=None)
    if moment is not None:
        session = replace(session, limit=None)
    session = _ends_at(session, moment, now, settings)
    return Change(session, TimerSet(moment, session.limit, reopened=True), _time_changed(session, now, reopened=True))


def _time_changed(session: Session, now: datetime, *, reopened: bool) -> tuple[Notice, ...]:
    """One notice in each room that exists: people there plan their talk by the clock."""
    return tuple(
        TimeChanged(session.id, session.round, room.number, now, session.ends_at, reopened)
        for room in session.open_rooms
        if room.room_id is not None
    )


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
        check_length(notice, settings)
    if closing and notice is None and not at_once:
        _require_not_just_given(session, by, now)
        at_once = True
    length = notice if notice is not None else closing_notice(session, now, settings)
    if at_once or length <= timedelta():
        ended, notices = finish(session, why=EndReason.MODERATOR, now=now)
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
        session = _ends_at(session, moment, now, settings)
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
    return _reopened(session, former, now, settings)


def finish(session: Session, *, why: EndReason, now: datetime) -> tuple[Session, tuple[Notice, ...]]:
    """End the round now: rooms lock, their requests for help are closed, who passed may take part again."""
    notices: list[Notice] = []
    for room in session.open_rooms:
        if room.help:
            closed = HelpClosed(session.id, session.round, room.number, room.help.since, HelpEnd.ENDED, None)
            notices.append(closed)
            session = session.with_room(replace(room, help=None))
        if room.room_id is not None:
            notices.append(RoomClosed(session.id, session.round, room.number))
    notices.append(MainEnded(session.id, session.round, why))
    seats = (replace(seat, moved_from=None, moved_until=None) for seat in session.seats.values())
    session = replace(
        session.with_seats(*seats),
        phase=Phase.ENDED,
        ended_at=now,
        ends_at=None,
        limit=None,
        timed_end=None,
        closing_by=None,
        closing_at=None,
        passed=frozenset(),
        waiting=frozenset(),
    )
    return session, tuple(notices)


def delete(session: Session | None, *, by: str, now: datetime, settings: Settings, key: str) -> Change[ConfirmAsked]:
    """`delete`: asks first; `key` is the outbox key of the question."""
    session = require(session, "delete")
    pending = Pending(Confirm.DELETE, by, now + settings.confirm_within, key)
    asked = ConfirmAsked(pending, len(session.seats), len(session.open_rooms))
    return Change(replace(session, pending=pending), asked)


def _deleted(session: Session, *, now: datetime) -> Change[SessionDeleted]:
    notices: tuple[Notice, ...] = ()
    was_running = session.phase in (Phase.RUNNING, Phase.CLOSING)
    if was_running:
        session, notices = finish(session, why=EndReason.DELETE, now=now)
    return Change(discard(session), SessionDeleted(was_running), notices)


def discard(session: Session) -> Session:
    """The session deleted: nothing of it is wanted any more."""
    return replace(session, phase=Phase.DELETED, pending=None)
