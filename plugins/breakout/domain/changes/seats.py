"""Who gets, changes and gives up which seat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from random import Random

from plugins.breakout.domain.assignment import deal
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.people import (
    capacity,
    is_here,
    numbers,
    participants,
    require_joined,
    seat_in_smallest,
    seat_late,
    seated_in,
    without_seat,
)
from plugins.breakout.domain.changes.setup import one_room_each
from plugins.breakout.domain.model import Door, Mode, Person, Presence, Room, Seat, Session, Settings
from plugins.breakout.domain.notices import LateAsked
from plugins.breakout.domain.phases import is_running, require
from plugins.breakout.domain.refusals import (
    NobodyToSeat,
    NobodyWithoutSeat,
    NoSeat,
    NotAtThisMode,
    NotSeatedForChoice,
    RemovedByModerator,
    RoomFull,
    SamePerson,
    SameRoom,
    ShuffleNeedsNow,
)

INSIDE = frozenset({Presence.JOINED, Presence.IN_MAIN})
"""The person is a member of the room."""
AWAY = frozenset({Presence.DECLINED, Presence.LEFT, Presence.REMOVED, Presence.UNREACHABLE})
"""The person is not in the room, and is not invited again by itself."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """What came of `assign`: each person in one of these. `passed` people have the seat and get no invite."""

    seated: tuple[tuple[str, int], ...]
    moved: tuple[tuple[str, int, int], ...] = ()
    """User, former room, new room."""
    invited_again: tuple[tuple[str, int], ...] = ()
    unchanged: tuple[tuple[str, int], ...] = ()
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unassigned:
    """User and former room of each."""

    users: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Dealt:
    """What came of `shuffle` or `fill`: how many people have got another room or a first one."""

    seated: int
    moved: int
    unseated: tuple[str, ...] = ()
    crowded: tuple[tuple[int, int], ...] = ()
    """In choose mode: rooms with more people now than seats (number, people)."""
    seats: int = 0
    """Seats a room in choose mode."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came of a choice: `left` is the room given up by it; `invited`: an invite is on its way."""

    room: Room
    left: Room | None
    invited: bool


class Rejoin(Enum):
    """What `rejoin` comes to."""

    INVITED_AGAIN = auto()
    STILL_INVITED = auto()
    ALREADY_IN = auto()
    SEATED = auto()
    ASKED_MODERATORS = auto()
    CHOOSE = auto()
    NEXT_ROUND = auto()
    """Nothing runs: the person takes part again from the next start on."""


@dataclass(frozen=True, slots=True)
class Rejoined:
    """What came of `rejoin`, and the person's room where there is one."""

    how: Rejoin
    room: Room | None


def assign(session: Session | None, seats: Sequence[tuple[str, int]], *, people: Sequence[Person]) -> Change[Assigned]:
    """Seat people by hand: pairs of user and room number, of all lines of the command.

    Raises `PersonTwice`, `NotAParticipant`. Naming the room where somebody sits already invites him again
    if he declined, left, was removed or could not be reached. Who passed gets the seat, and an invite by
    `rejoin` only.
    """
    session = require(session, "assign")
    wanted = one_room_each(session, seats)
    require_joined(wanted, people)
    return _assigned(session, tuple(wanted.items()))


def _assigned(session: Session, wanted: Sequence[tuple[str, int]]) -> Change[Assigned]:
    seated, moved, again, unchanged = [], [], [], []
    for user, number in wanted:
        old = session.seats.get(user)
        new = given(session, user, number, by_hand=True)
        if old is None:
            seated.append((user, number))
        elif old.room != number:
            moved.append((user, old.room, number))
        elif old.presence is not new.presence:
            again.append((user, number))
        else:
            unchanged.append((user, number))
        session = session.with_seats(new)
    users = frozenset(user for user, _ in wanted)
    session = replace(session, waiting=session.waiting - users, left_out=session.left_out - users)
    passed = tuple(user for user, _ in wanted if user in session.passed)
    return Change(session, Assigned(tuple(seated), tuple(moved), tuple(again), tuple(unchanged), passed))


def given(session: Session, user: str, number: int, *, by_hand: bool, knows: bool = False) -> Seat:
    """The person's seat in that room, with what becomes of the former one: the way from room to room.

    Ahead of the start there is no way: nobody talks yet, so the old room is left as soon as the new invite is out.
    Who was left in a room after the end reads on there until the next start.
    `knows`: the person took it, and needs no invite where people walk in.
    The moment until which the old room may be kept is set when the new invite is out (`observed.invited`).
    """
    old = session.seats.get(user)
    running, invites = is_running(session), session.invites
    stays = running or session.is_kept
    needs_invite = running and not knows
    if old is None:
        return Seat(
            user,
            number,
            by_hand,
            _waiting(session, user),
            invite_count=1 if invites else 0,
            late=running,
            needs_invite=needs_invite,
        )
    if old.room == number:
        if not invites or (old.presence not in AWAY and user not in session.passed):
            return replace(old, by_hand=by_hand or old.by_hand)
        return invited_again(replace(old, by_hand=by_hand or old.by_hand), _waiting(session, user))
    inside = old.room if old.presence in INSIDE else old.moved_from
    if stays and inside == number:
        return replace(old, room=number, by_hand=by_hand, presence=Presence.JOINED, moved_from=None, moved_until=None)
    return Seat(
        user,
        number,
        by_hand,
        _waiting(session, user),
        invite_count=old.invite_count + 1 if invites else old.invite_count,
        moved_from=inside if stays else None,
        late=old.late,
        needs_invite=needs_invite,
    )


def _waiting(session: Session, user: str) -> Presence:
    """The presence of a new seat: who passed is not invited."""
    return Presence.DECLINED if user in session.passed else Presence.ASSIGNED


def invited_again(seat: Seat, presence: Presence = Presence.ASSIGNED) -> Seat:
    """The seat with another invite to come."""
    count = seat.invite_count + 1
    return replace(seat, presence=presence, problem="", invite_count=count, invited_at=None, needs_invite=True)


def swap(session: Session | None, first: str, second: str) -> Change[Assigned]:
    """Exchange two people's seats. Raises `SamePerson`, `NoSeat`, `SameRoom`."""
    session = require(session, "swap")
    if first == second:
        raise SamePerson(first)
    _require_seats(session, (first, second))
    one, other = session.seats[first].room, session.seats[second].room
    if one == other:
        raise SameRoom((first, second), session.room(one).name)
    return _assigned(session, ((first, other), (second, one)))


def _require_seats(session: Session, users: Sequence[str]) -> None:
    if missing := tuple(user for user in dict.fromkeys(users) if user not in session.seats):
        raise NoSeat(missing)


def unassign(session: Session | None, users: Sequence[str]) -> Change[Unassigned]:
    """Take seats away; a start does not deal these people new ones. Raises `NoSeat`."""
    session = require(session, "unassign")
    _require_seats(session, users)
    former = tuple((user, session.seats[user].room) for user in dict.fromkeys(users))
    session = replace(session.without_seats(*users), left_out=session.left_out | frozenset(users))
    return Change(session, Unassigned(former))


def shuffle(session: Session | None, *, people: Sequence[Person], rng: Random, really: bool) -> Change[Dealt]:
    """Deal everybody again, seats by hand too; while running or prepared only with `really` (`shuffle now`).

    Raises `ShuffleNeedsNow`, `NobodyToSeat`. Dealt are those with a seat and, in auto mode, those without
    one; not whom a moderator took out of a room.
    """
    session = require(session, "shuffle")
    members = participants(session, people)
    out = {seat.user for seat in session.seats.values() if seat.presence is Presence.REMOVED}
    seated = tuple(p.user for p in members if p.user in session.seats and p.user not in out)
    free = without_seat(session, people) if session.mode is Mode.AUTO else ()
    if not seated and not free:
        raise nobody_to_seat(session, people)
    if session.invites and not really:
        raise ShuffleNeedsNow(len(seated) + len(free), talking=is_running(session))
    return _dealt(session, deal((*seated, *free), numbers(session), rng, {}), people)


def fill(session: Session | None, *, people: Sequence[Person], rng: Random) -> Change[Dealt]:
    """Seat those without a seat, each in the smallest room. Raises `NobodyWithoutSeat`, `NobodyToSeat`.

    In choose mode too, even beyond a room's seats once all are full: the moderator asked for it.
    """
    session = require(session, "fill")
    free = without_seat(session, people)
    if not free:
        raise NobodyWithoutSeat if session.seats else nobody_to_seat(session, people)
    return _dealt(session, deal(free, numbers(session), rng, seated_in(session)), people)


def _dealt(session: Session, rooms: dict[str, int], people: Sequence[Person]) -> Change[Dealt]:
    """The session with these rooms dealt; in choose mode such a seat counts as given by hand."""
    before = seated_in(session)
    seats = []
    for user, number in rooms.items():
        kept = before.get(user) == number
        seat = session.seats[user] if kept else given(session, user, number, by_hand=False)
        seats.append(replace(seat, by_hand=session.mode is Mode.CHOOSE))
    moved = sum(1 for user, number in rooms.items() if before.get(user, number) != number)
    users = frozenset(rooms)
    session = replace(session.with_seats(*seats), waiting=session.waiting - users, left_out=session.left_out - users)
    most = capacity(session, people)
    sizes = ((number, len(session.people_of(number))) for number in numbers(session))
    crowded = tuple((number, size) for number, size in sizes if size > most and session.mode is Mode.CHOOSE)
    told = Dealt(len(users - before.keys()), moved, without_seat(session, people), crowded, most)
    return Change(session, told)


def nobody_to_seat(session: Session, people: Sequence[Person]) -> NobodyToSeat:
    """The refusal, with the numbers from which the command that mends it follows."""
    moderators = [person for person in people if person.moderator and person.user not in session.passed]
    return NobodyToSeat(
        session.mode,
        participants=len(participants(session, people)),
        willing=len(without_seat(session, people)),
        moderators=len(moderators),
        moderators_here=sum(is_here(session, person) for person in moderators),
        rooms=len(session.open_rooms),
        asked_with=session.asked_with,
    )


def choose(session: Session | None, user: str, number: int, *, people: Sequence[Person]) -> Change[Chosen]:
    """Take a seat in choose mode; the last choice wins.

    Raises `NotAtThisMode`, `NotSeatedForChoice`, `RemovedByModerator`, `RoomFull`. Choosing again the room one
    has left or declined is a new invite; choosing takes part again after `pass`.
    """
    session = require(session, "choose")
    if session.mode is not Mode.CHOOSE:
        raise NotAtThisMode("choose", session.mode)
    if user not in {person.user for person in participants(session, people)}:
        raise NotSeatedForChoice(user)
    room = session.room(number)
    old = session.seats.get(user)
    if old is not None and old.room == number and old.presence is Presence.REMOVED:
        raise RemovedByModerator(user, room.name)
    if (old is None or old.room != number) and number not in rooms_with_space(session, capacity(session, people)):
        free = rooms_with_space(session, capacity(session, people))
        raise RoomFull(room.name, capacity(session, people), tuple(session.room(one).name for one in free))
    session = replace(session, passed=session.passed - {user})
    seat = given(session, user, number, by_hand=False, knows=True)
    session = replace(session.with_seats(seat), waiting=session.waiting - {user}, left_out=session.left_out - {user})
    left = session.room(old.room) if old and old.room != number else None
    return Change(session, Chosen(room, left, session.invites and seat.presence is Presence.ASSIGNED))


def rooms_with_space(session: Session, seats: int) -> tuple[int, ...]:
    """The numbers of the open rooms with fewer than `seats` people."""
    return tuple(number for number in numbers(session) if len(session.people_of(number)) < seats)


def unchoose(session: Session | None, user: str, number: int) -> Change[bool]:
    """The number's reaction taken back: before the start the seat goes with it. Tells whether it did.

    A seat in another room stays (the last choice wins), and so does one that a moderator gave.
    """
    session = require(session, "choose")
    seat = session.seats.get(user)
    before_start = session.is_ahead and session.mode is Mode.CHOOSE
    if not before_start or seat is None or seat.room != number or seat.by_hand:
        return Change(session, told=False)
    return Change(session.without_seats(user), told=True)


def pass_round(session: Session | None, user: str) -> Change[None]:
    """`pass`: takes no part in this round (or, before a start, in the coming one).

    While running the seat stays, declined, so that `rejoin` leads back to it; before the start it is free.
    """
    session = require(session, "pass")
    seat = session.seats.get(user)
    session = replace(session, passed=session.passed | {user}, waiting=session.waiting - {user})
    if seat is None:
        return Change(session, None)
    if not is_running(session):
        return Change(session.without_seats(user), None)
    declined = replace(seat, presence=Presence.DECLINED, moved_from=None, moved_until=None)
    return Change(session.with_seats(declined), None)


def rejoin(
    session: Session | None, user: str, *, people: Sequence[Person], now: datetime, settings: Settings
) -> Change[Rejoined]:
    """`rejoin`: a new invite to one's own room, or a way to a seat.

    Raises `RemovedByModerator`, `NoSeat` (for somebody who is no participant). Without a seat `late_joiners`
    holds, except that nobody is left standing by *stay*: the moderators are asked.
    """
    session = require(session, "rejoin")
    seat = session.seats.get(user)
    if user not in {person.user for person in participants(session, people)}:
        raise NoSeat((user,))
    if seat is not None and seat.presence is Presence.REMOVED:
        raise RemovedByModerator(user, session.room(seat.room).name)
    passed = user in session.passed
    session = replace(session, passed=session.passed - {user})
    if not is_running(session) and (seat is None or not session.invites):
        if seat is None and passed and session.is_ahead and session.mode is Mode.AUTO:
            session = seat_in_smallest(session, user)
        if not _takes_part(session, user):
            return _moderators_asked(session, user, now)
        session = replace(session, taps=session.taps | {user})  # here, as by ✋: else `here` would leave them out
        return Change(session, Rejoined(Rejoin.NEXT_ROUND, _room_of(session, user)))
    if seat is None:
        return _seat_asked_for(session, user, now, settings)
    room = session.room(seat.room)
    if seat.presence in INSIDE:
        session = session.with_seats(replace(seat, presence=Presence.JOINED))
        return Change(session, Rejoined(Rejoin.ALREADY_IN, room))
    only_told = session.door is Door.OPEN and not seat.needs_invite
    if seat.presence in AWAY or only_told:
        return Change(session.with_seats(invited_again(seat)), Rejoined(Rejoin.INVITED_AGAIN, room))
    return Change(session, Rejoined(Rejoin.STILL_INVITED, room))


def _seat_asked_for(session: Session, user: str, now: datetime, settings: Settings) -> Change[Rejoined]:
    if session.mode is Mode.CHOOSE:
        return Change(session, Rejoined(Rejoin.CHOOSE, None))
    if user not in session.left_out:
        changed, _ = seat_late(session, user, now=now, settings=settings)
        if user in changed.seats:
            changed = changed.with_seats(replace(changed.seats[user], needs_invite=True))
            return Change(changed, Rejoined(Rejoin.SEATED, _room_of(changed, user)))
    return _moderators_asked(session, user, now)


def _takes_part(session: Session, user: str) -> bool:
    """Whether the next start has a place for the person, without a moderator who gives one."""
    dealt = session.mode is Mode.AUTO and user not in session.left_out
    return dealt or user in session.seats or session.mode is Mode.CHOOSE


def _moderators_asked(session: Session, user: str, now: datetime) -> Change[Rejoined]:
    if user in session.waiting:
        return Change(session, Rejoined(Rejoin.ASKED_MODERATORS, None))
    asked = replace(session, waiting=session.waiting | {user})
    notice = LateAsked(session.id, session.round, user, now)
    return Change(asked, Rejoined(Rejoin.ASKED_MODERATORS, None), (notice,))


def _room_of(session: Session, user: str) -> Room | None:
    seat = session.seats.get(user)
    return session.room(seat.room) if seat else None


def go_back(session: Session | None, user: str) -> Change[None]:
    """`!back`: the person is shown as *in main* and stays in the room; without effect on others."""
    session = require(session, "back")
    seat = session.seats.get(user)
    if seat is None or seat.presence is not Presence.JOINED:
        return Change(session, None)
    return Change(session.with_seats(replace(seat, presence=Presence.IN_MAIN)), None)


def came_back(session: Session, user: str) -> Change[None]:
    """Somebody shown as *in main* wrote in the breakout room: there again."""
    seat = session.seats.get(user)
    if seat is None or seat.presence is not Presence.IN_MAIN:
        return Change(session, None)
    return Change(session.with_seats(replace(seat, presence=Presence.JOINED)), None)
