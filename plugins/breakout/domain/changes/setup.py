"""What `setup` and the check-in do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from plugins.breakout.domain.assignment import deal, room_count
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.people import (
    is_here,
    numbers,
    participants,
    require_joined,
    seated_in,
    to_deal,
    without_seat,
)
from plugins.breakout.domain.changes.rooms import check_names, match_room, numbered
from plugins.breakout.domain.model import Door, Mode, Person, Phase, Room, Seat, Session, Settings
from plugins.breakout.domain.refusals import (
    AlreadyRunning,
    BadCapacity,
    BadGroupSize,
    BadRoomCount,
    CapacityNeedsChoose,
    NoRooms,
    OneRoomOnly,
    PersonTwice,
    SeatsNotByCommandLines,
    TooManyRooms,
)

SMALLEST_GROUP = 2


@dataclass(frozen=True, slots=True)
class SeatLine:
    """One line `Team Alpha: @ann @bob`; `room` as typed."""

    room: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What `setup` asks for: `count`, `names` or `group_size`; or only `lines`, which then name the rooms."""

    count: int | None = None
    names: tuple[str, ...] = ()
    group_size: int | None = None
    mode: Mode | None = None
    here: bool = False
    everyone: bool = False
    capacity: int | None = None
    door: Door | None = None
    lines: tuple[SeatLine, ...] = ()


@dataclass(frozen=True, slots=True)
class SetUp:
    """What came of `setup`. `replaced` is the former session, or plan, in whose place it comes."""

    replaced: Session | None
    members: int
    participants: int
    here: int
    seated: int
    unseated: tuple[str, ...]


def set_up(
    session: Session | None,
    layout: Layout,
    *,
    main: str,
    session_id: str,
    by: str,
    people: Sequence[Person],
    settings: Settings,
    rng: Random,
) -> Change[SetUp]:
    """Set up a session. One that is only set up is replaced under its id; else `session_id` is the new one's.

    The check-in's taps and the board's number live on; who passed, still passes. After *ended*, and where rooms
    were prepared, the former session comes back as `retired`: its rooms are closed for good. Seat lines without
    a mode mean manual mode; `max` without one means choose mode.
    """
    if session and session.phase in (Phase.RUNNING, Phase.CLOSING):
        raise AlreadyRunning("setup", session.phase)
    mode = _mode(layout, settings)
    known = session if session and session.phase is not Phase.DELETED else None
    planned = known if known and known.phase is Phase.SET_UP else None
    same = planned if planned and not planned.is_prepared else None
    fresh = Session(
        id=same.id if same else session_id,
        main=main,
        phase=Phase.SET_UP,
        mode=mode,
        rooms=(),
        set_up_by=by,
        door=layout.door or settings.door,
        revision=same.revision if same else 0,
        everyone=layout.everyone,
        here_only=layout.here,
        group_size=layout.group_size,
        capacity=layout.capacity,
        passed=known.passed if known else frozenset(),
        taps=known.taps if known else frozenset(),
        board=same.board if same else 0,
    )
    fresh = replace(fresh, rooms=_rooms(layout, len(to_deal(fresh, people)), settings, fresh.asked_with))
    fresh = _seated(fresh, layout, people, rng)
    told = SetUp(
        replaced=known if known and known.rooms else None,
        members=len(people),
        participants=len(participants(fresh, people)),
        here=sum(is_here(fresh, person) for person in participants(fresh, people)),
        seated=len(fresh.seats),
        unseated=without_seat(fresh, people),
    )
    return Change(fresh, told, retired=_retired(known) if known and not same else None)


def _retired(session: Session) -> Session:
    """The former session with every room to be emptied and left; its desk lives on."""
    return replace(session, rooms=tuple(replace(room, removed=True) for room in session.rooms), seats={}, pending=None)


def _mode(layout: Layout, settings: Settings) -> Mode:
    """The mode, where the parts of the layout agree with it."""
    if layout.capacity is not None and layout.capacity < 1:
        raise BadCapacity(layout.capacity)
    implied = Mode.MANUAL if layout.lines else Mode.CHOOSE if layout.capacity else settings.mode
    mode = layout.mode or implied
    if layout.lines and mode is not Mode.MANUAL:
        raise SeatsNotByCommandLines(mode)
    if layout.capacity and mode is not Mode.CHOOSE:
        raise CapacityNeedsChoose(mode)
    return mode


def _rooms(layout: Layout, people: int, settings: Settings, asked_with: tuple[str, ...]) -> tuple[Room, ...]:
    if layout.group_size is not None:
        return numbered(count_groups(people, layout.group_size, settings, asked_with))
    if layout.count is not None:
        if layout.count < 1:
            raise BadRoomCount(layout.count, settings.max_rooms)
        if layout.count > settings.max_rooms:
            raise TooManyRooms(layout.count, settings.max_rooms, asked_with=asked_with)
        return numbered(layout.count)
    names = check_names(layout.names or [line.room for line in layout.lines])
    if not names:
        raise NoRooms
    if len(names) == 1 and not layout.lines:
        raise OneRoomOnly(names[0])
    if len(names) > settings.max_rooms:
        raise TooManyRooms(len(names), settings.max_rooms, asked_with=asked_with)
    return tuple(Room(number, name) for number, name in enumerate(names, 1))


def count_groups(people: int, size: int, settings: Settings, asked_with: tuple[str, ...]) -> int:
    """How many rooms groups of `size` make; raises `BadGroupSize` or `TooManyRooms` (with the words `asked_with`)."""
    if size < SMALLEST_GROUP:
        raise BadGroupSize(size)
    count = room_count(people, size)
    if count > settings.max_rooms:
        raise TooManyRooms(count, settings.max_rooms, size, people, asked_with=asked_with)
    return count


def _seated(session: Session, layout: Layout, people: Sequence[Person], rng: Random) -> Session:
    if session.mode is Mode.AUTO:
        dealt = deal(to_deal(session, people), numbers(session), rng, seated_in(session))
        return session.with_seats(*(Seat(user, number) for user, number in dealt.items()))
    rooms = [(match_room(session.rooms, line.room).number, line.users) for line in layout.lines]
    seats = one_room_each(session, [(user, number) for number, users in rooms for user in users])
    require_joined(seats, people)
    return session.with_seats(*(Seat(user, number, by_hand=True) for user, number in seats.items()))


def one_room_each(session: Session, seats: Sequence[tuple[str, int]]) -> Mapping[str, int]:
    """The room number of each person of these pairs; raises `PersonTwice` for one with two rooms."""
    wanted: dict[str, int] = {}
    for user, number in seats:
        if wanted.setdefault(user, number) != number:
            raise PersonTwice(user, (session.room(wanted[user]).name, session.room(number).name))
    return wanted


def check_in(session: Session | None, *, main: str, session_id: str, by: str) -> Change[None]:
    """Begin a check-in. Without a session it makes a bare one: no rooms yet, only the taps, until `setup`.

    Before and while a session runs the taps so far count on (the message was only posted once more); after
    its end they are of another lesson.
    """
    if session is None or session.phase is Phase.DELETED:
        return Change(Session(session_id, main, Phase.SET_UP, Mode.AUTO, (), by), None)
    if session.phase is Phase.ENDED:
        return Change(replace(session, taps=frozenset()), None)
    return Change(session, None)


def tap(session: Session, user: str) -> Change[None]:
    """✋ by `user`."""
    return Change(replace(session, taps=session.taps | {user}), None)


def untap(session: Session, user: str) -> Change[None]:
    """✋ taken back."""
    return Change(replace(session, taps=session.taps - {user}), None)
