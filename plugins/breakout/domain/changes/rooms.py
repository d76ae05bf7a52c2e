"""Naming, finding, adding, removing and changing rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Phase, Room, Session, Settings
from plugins.breakout.domain.notices import HelpClosed, HelpEnd, Notice, RoomRemoved, TaskSet
from plugins.breakout.domain.phases import is_running, require
from plugins.breakout.domain.refusals import (
    AmbiguousRoom,
    BadRoomName,
    DuplicateRoomName,
    LastRoom,
    NameFault,
    NoRooms,
    NoSession,
    TooLong,
    TooManyRooms,
    UnknownRoom,
)

MAX_NAME = 64
MAX_TASK = 4000
"""In characters: far below the 64 KB of an event, above any task that is read on a phone."""

RESERVED = frozenset(
    [
        *("all", "rest", "everyone", "off", "now", "cancel", "confirm", "auto", "manual", "choose", "me", "here"),
        *("open", "invite"),
    ]
)
"""Words that stand where a room name could stand in a command."""


@dataclass(frozen=True, slots=True)
class RemovedRoom:
    """The room that is gone and the people who lost their seat by it."""

    room: Room
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RenamedRoom:
    """The room under its new name."""

    room: Room
    former: str


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """The rooms that have the task now."""

    rooms: tuple[Room, ...]


SETS_UP, ADDS, RENAMES = "setup Team Alpha, Team Beta", "add Team Gamma", "rename {number} to Team Delta"
"""Lines with good names, of the commands that take names."""


def check_name(name: str, example: str = SETS_UP) -> str:
    """The name without outer spaces and with single inner ones; raises `BadRoomName`."""
    if fault := _fault(name.strip()):
        raise BadRoomName(name.strip(), fault, example)
    return " ".join(name.split())


def _fault(name: str) -> NameFault | None:
    if not name:
        return NameFault.EMPTY
    if len(name.splitlines()) > 1:
        return NameFault.LINE_BREAK
    if len(name) > MAX_NAME:
        return NameFault.TOO_LONG
    if "," in name or ":" in name:
        return NameFault.SIGN
    if name.isdecimal():
        return NameFault.NUMBER
    if name.casefold() in RESERVED:
        return NameFault.RESERVED
    return None


def check_names(names: Sequence[str], taken: Sequence[str] = (), example: str = SETS_UP) -> tuple[str, ...]:
    """The names, each good and none twice nor among `taken`; raises `BadRoomName` or `DuplicateRoomName`."""
    good = tuple(check_name(name, example) for name in names)
    seen = {name.casefold() for name in taken}
    for name in good:
        if name.casefold() in seen:
            raise DuplicateRoomName(name)
        seen.add(name.casefold())
    return good


def find_room(session: Session | None, typed: str, command: str = "status") -> Room:
    """The open room that `typed` names: a number, a name, or a unique prefix of a name or of a word in one.

    A whole name wins over a prefix. Raises `NoSession(command)`,
    `UnknownRoom` or `AmbiguousRoom`.
    """
    if session is None or session.phase is Phase.DELETED or not session.open_rooms:
        raise NoSession(command)
    return match_room(session.open_rooms, typed)


def match_room(rooms: Sequence[Room], typed: str) -> Room:
    """The one of `rooms` that `typed` names; raises `UnknownRoom` or `AmbiguousRoom`."""
    wanted = " ".join(typed.split()).casefold()
    if not wanted:
        raise unknown_room(typed, rooms)
    for fits in (_same, _has_word):
        found = [room for room in rooms if fits(room, wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousRoom(typed, *_named(found))
    raise unknown_room(typed, rooms)


def unknown_room(typed: str, rooms: Sequence[Room]) -> UnknownRoom:
    """The refusal of a room that is none of `rooms`."""
    return UnknownRoom(typed, *_named(rooms))


def _named(rooms: Sequence[Room]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    return tuple(room.name for room in rooms), tuple(room.number for room in rooms)


def _same(room: Room, wanted: str) -> bool:
    if wanted.isdecimal():
        return room.number == int(wanted)
    return room.name.casefold() == wanted


def _has_word(room: Room, wanted: str) -> bool:
    words = room.name.casefold().split()
    return not wanted.isdecimal() and any(" ".join(words[start:]).startswith(wanted) for start in range(len(words)))


def add_rooms(session: Session | None, names: Sequence[str], *, settings: Settings) -> Change[tuple[Room, ...]]:
    """Add rooms, also while running. From then on groups of N are no longer counted again at the start."""
    session = require(session, "add")
    if not names:
        raise NoRooms
    good = check_names(names, [room.name for room in session.open_rooms], ADDS)
    count = len(session.open_rooms) + len(good)
    if count > settings.max_rooms:
        raise TooManyRooms(count, settings.max_rooms, adding=True)
    first = next_number(session)
    added = tuple(Room(number, name) for number, name in enumerate(good, first))
    return Change(replace(session, rooms=session.rooms + added, group_size=None), added)


def next_number(session: Session) -> int:
    """The number of the next room: one that no room of this session had."""
    return max((room.number for room in session.rooms), default=0) + 1


def remove_room(session: Session | None, number: int, *, now: datetime) -> Change[RemovedRoom]:
    """Remove a room; its people become unassigned; its request for help is closed.

    Before the start the reply alone names the people: nobody has gone to a room yet.
    """
    session = require(session, "remove")
    room = session.room(number)
    if len(session.open_rooms) == 1:
        raise LastRoom(room.name)
    users = tuple(seat.user for seat in session.people_of(number))
    notices: list[Notice] = []
    if room.help:
        notices.append(HelpClosed(session.id, session.round, number, room.help.since, HelpEnd.GONE, None))
    if users and is_running(session):
        notices.append(RoomRemoved(session.id, number, now, room.name, users))
    gone = replace(room, removed=True, help=None)
    changed = stay_put(session.without_seats(*users).with_room(gone), number)
    return Change(replace(changed, group_size=None), RemovedRoom(room, users), tuple(notices))


def stay_put(session: Session, number: int) -> Session:
    """The session in which nobody is on the way out of this room, since it is gone."""
    seats = (
        replace(seat, moved_from=None, moved_until=None) for seat in session.seats.values() if seat.moved_from == number
    )
    return session.with_seats(*seats)


def rename_room(session: Session | None, number: int, name: str) -> Change[RenamedRoom]:
    """Give a room another name; its own name in other letters is allowed."""
    session = require(session, "rename")
    room = session.room(number)
    others = [other.name for other in session.open_rooms if other.number != number]
    (good,) = check_names([name], others, RENAMES.format(number=number))
    renamed = replace(room, name=good)
    return Change(session.with_room(renamed), RenamedRoom(renamed, room.name))


def set_task(session: Session | None, number: int | None, text: str, *, now: datetime) -> Change[TaskChanged]:
    """Set the task of one room or (None) of all; an empty text takes it away.

    While running each room that has another task now reads it; else the welcome says it.
    """
    session = require(session, "task")
    text = text.strip()
    if len(text) > MAX_TASK:
        raise TooLong("task", len(text), MAX_TASK)
    rooms = session.open_rooms if number is None else (session.room(number),)
    notices = []
    for room in rooms:
        session = session.with_room(replace(room, task=text))
        if is_running(session) and room.room_id and text and room.task != text:
            notices.append(TaskSet(session.id, room.number, now, text))
    return Change(session, TaskChanged(tuple(session.room(room.number) for room in rooms)), tuple(notices))


def numbered(count: int, first: int = 1) -> tuple[Room, ...]:
    """Rooms "Room 1" … "Room 4": names are typed in commands, so they are the same in every language."""
    return tuple(Room(number, f"Room {number}") for number in range(first, first + count))
