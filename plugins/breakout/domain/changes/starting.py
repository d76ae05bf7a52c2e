"""Starting a round: who is seated, what is asked first, and the yes to what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from random import Random

from plugins.breakout.domain.assignment import deal, level, smallest_room
from plugins.breakout.domain.change import Change, ConfirmAsked
from plugins.breakout.domain.changes.ending import SessionDeleted, deleted
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
from plugins.breakout.domain.changes.timing import check_length
from plugins.breakout.domain.model import Confirm, Mode, Pending, Person, Phase, Seat, Session, Settings
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
