"""From the words of a typed line to command values: pure, lenient with phones, strict with meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, islice
from typing import TypeVar

from bot.commands.parsers import Named, duration, only_people, people
from bot.commands.read import html_after
from bot.commands.refusals import HostRefusal, Missing, TooMuch
from bot.commands.words import Line, Word
from bot.message.doc import Relayed
from plugins.breakout.domain.changes.rooms import RENAMES, check_name, find_room
from plugins.breakout.domain.model import Room, Session
from plugins.breakout.domain.refusals import AmbiguousRoom, Refusal, UnknownRoom

T = TypeVar("T")

_TO = frozenset({"to", "into", "in", "->", "=>", "→"})
_ALL = frozenset({"all", "everyone", "everybody"})
_NUMBERED = re.compile(r"(?:room\s*|#)(\d+)", re.IGNORECASE)
_MOST_TOS = 40
"""Places of a ` to ` that are tried: a name of 64 characters has no more of them."""

_LONGEST_NAME = 12
"""Words of a room's name that are tried where free text follows."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the parsers need to know: the session with its rooms, and who can be named."""

    session: Session | None
    named: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Assign:
    """Seat people: user and room number, in the order typed."""

    seats: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unassign:
    """Take seats away."""

    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddRooms:
    """Add rooms of these names."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveRoom:
    """Remove a room."""

    number: int


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a room another name."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class RoomText:
    """A text for one room, or (None) for all of them."""

    number: int | None
    text: Relayed


@dataclass(frozen=True, slots=True)
class Start:
    """Start, perhaps with a time limit."""

    limit: timedelta | None = None


@dataclass(frozen=True, slots=True)
class End:
    """End: with the usual notice, with another one, or at once."""

    notice: timedelta | None = None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The typed twin of ✅."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Taking it back."""


# --- lines


def rows(words: Sequence[Word]) -> list[tuple[Word, ...]]:
    """The words by the lines in which they were typed."""
    return [tuple(row) for _, row in groupby(words, key=lambda word: word.row)]


def before_colon(row: Sequence[Word]) -> tuple[str | None, tuple[Word, ...]]:
    """The text before the first colon of a line, and the words behind it."""
    for position, word in enumerate(row):
        if word.user is None and not word.quoted and word.text.endswith(":"):
            name = " ".join(w.text for w in row[: position + 1]).rstrip(": ")
            return name, tuple(row[position + 1 :])
        if word.user is not None:
            break
    return None, tuple(row)


# --- seats and rooms


def assign(line: Line, known: Known) -> Assign:
    """`@ann @bob to Alpha`, or lines `Alpha: @ann`."""
    if not line.words:
        raise Missing("whom to seat where", "breakout assign @ann to 2")
    seats: list[tuple[str, int]] = []
    for row in rows(line.words):
        name, rest = before_colon(row)
        if name is not None and rest:
            room = find_room(known.session, name, "assign")
            seats += [(user, room.number) for user in only_people(rest, known.named)]
        else:
            users, room = _people_to_room(row, known)
            seats += [(user, room.number) for user in users]
    return Assign(tuple(seats))


def _people_to_room(row: Sequence[Word], known: Known) -> tuple[tuple[str, ...], Room]:
    """Each ` to ` is tried until both sides are valid; without one, the room follows the people."""

    def parts(position: int) -> tuple[tuple[str, ...], Room]:
        return only_people(row[:position], known.named), _room(row[position + 1 :], known, "assign")

    if any(word.fold in _TO for word in row):
        return _first_valid(row, parts)
    users, rest = people(row, known.named)
    if not rest:
        raise Missing("which room", "breakout assign @ann to 2")
    return users, _room(rest, known, "assign")


def _first_valid(row: Sequence[Word], parts: Callable[[int], T]) -> T:
    """What `parts` makes of the first ` to ` of which both sides are valid; else the first one's refusal."""
    refusal: Exception = Missing("who or what", "breakout assign @ann to 2")
    places = (place for place, word in enumerate(row) if place and word.fold in _TO)
    for position in islice(places, _MOST_TOS):
        try:
            return parts(position)
        except (HostRefusal, Refusal) as error:
            refusal = error if isinstance(refusal, Missing) else refusal
    raise refusal


def _room(words: Sequence[Word], known: Known, command: str) -> Room:
    """The room that all of `words` name, or the pill of one."""
    if len(words) == 1 and words[0].room is not None and known.session is not None:
        for room in known.session.open_rooms:
            if room.room_id == words[0].room:
                return room
    typed = " ".join(word.text for word in words).rstrip(" :.,")
    if not typed:
        raise Missing("which room", f"breakout {command} 2")
    try:
        return find_room(known.session, typed, command)
    except UnknownRoom:
        if numbered := _NUMBERED.fullmatch(typed):
            return find_room(known.session, numbered[1], command)
        raise


def room(command: str) -> Callable[[Line, Known], int]:
    """A parser of one room for `command`; the value is its number."""

    def parse(line: Line, known: Known) -> int:
        return _room(line.words, known, command).number

    return parse


def room_or_nothing(command: str) -> Callable[[Line, Known], int | None]:
    """A parser of one room that may be left out."""

    def parse(line: Line, known: Known) -> int | None:
        return _room(line.words, known, command).number if line.words else None

    return parse


def room_or_next(line: Line, known: Known) -> int | None:
    """A room, or (None) the next one."""
    if not line.words or (len(line.words) == 1 and line.words[0].fold == "next"):
        return None
    return _room(line.words, known, "visit").number


def unassign(line: Line, known: Known) -> Unassign:
    """People."""
    if not line.words:
        raise Missing("whose seat", "breakout unassign @ann")
    users, rest = people(line.words, known.named)
    if rest and rest[0].fold in ("from", "in"):
        _room(rest[1:], known, "unassign")
        return Unassign(users)
    return Unassign(only_people(line.words, known.named))


def swap(line: Line, known: Known) -> tuple[str, str]:
    """Two people."""
    words = [word for word in line.words if word.fold != "with"]
    users = only_people(words, known.named) if words else ()
    if len(users) != 2:  # noqa: PLR2004
        raise Missing("which two people", "breakout swap @ann @bob")
    return users[0], users[1]


def add(line: Line, known: Known) -> AddRooms | Assign:
    """Names of rooms; a person means `assign`."""
    if not line.words:
        raise Missing("the name of the new room", "breakout add Team Gamma")
    if line.words[0].user is not None or line.words[0].text.startswith("@"):
        return assign(line, known)
    if any(word.fold in _TO for word in line.words):
        try:
            return assign(line, known)
        except (HostRefusal, Refusal):
            pass  # then "to" is part of a name
    names = " ".join(word.text for word in line.words).split(",")
    return AddRooms(tuple(name.strip(" .") for name in names))


def remove(line: Line, known: Known) -> RemoveRoom | Unassign:
    """A room; a person means `unassign`."""
    if not line.words:
        raise Missing("which room", "breakout remove 2")
    if line.words[0].user is not None or line.words[0].text.startswith("@"):
        return unassign(line, known)
    try:
        return RemoveRoom(_room(line.words, known, "remove").number)
    except UnknownRoom as unknown:
        try:
            return unassign(line, known)
        except HostRefusal:
            raise unknown from None


def rename(line: Line, known: Known) -> Rename:
    """`Gamma to Delta`; each ` to ` is tried until both sides are valid, whole names on its left side first."""

    def parts(position: int) -> Rename:
        name = " ".join(word.text for word in line.words[position + 1 :]).strip(" .")
        number = _room(line.words[:position], known, "rename").number
        return Rename(number, check_name(name, RENAMES.format(number=number)))

    if not any(word.fold in _TO for word in line.words[1:]):
        raise Missing("the new name", "breakout rename 2 to Team Delta")
    rooms = known.session.open_rooms if known.session else ()
    names = {room.name.casefold() for room in rooms}
    for position, word in enumerate(line.words[:_MOST_TOS]):
        if word.fold in _TO and " ".join(w.text.casefold() for w in line.words[:position]) in names:
            return parts(position)
    return _first_valid(line.words, parts)


# --- texts


def room_text(command: str) -> Callable[[Line, Known], RoomText]:
    """A parser of a room and a text: the longest run of leading words that names one room is the room."""

    def parse(line: Line, known: Known) -> RoomText:
        if not line.words:
            example = "Discuss chapter 3" if command == "task" else "Five more minutes"
            raise Missing("which room and what", f"breakout {command} 2 {example}")
        if line.words[0].fold.rstrip(":") in _ALL and not line.words[0].quoted:
            return RoomText(None, relayed(line.after(1)))
        found, length = _leading_room(line.words, known, command)
        return RoomText(found.number, relayed(line.after(length)))

    return parse


def _leading_room(words: Sequence[Word], known: Known, command: str) -> tuple[Room, int]:
    first = words[0]
    if first.quoted or first.room is not None:
        return _room(words[:1], known, command), 2 if len(words) > 1 and words[1].text == ":" else 1
    row = [word for word in words if word.row == first.row]
    name, _ = before_colon(row)
    if name is not None:
        try:
            length = next(n for n, word in enumerate(row, 1) if word.text.endswith(":"))
            return find_room(known.session, name, command), length
        except Refusal:
            pass  # then the colon belongs to the text
    for length in range(min(len(row), _LONGEST_NAME), 0, -1):
        try:
            return _room(row[:length], known, command), length
        except (UnknownRoom, AmbiguousRoom):
            continue
    return _room(row[:1], known, command), 1


def relayed(line: Line) -> Relayed:
    """The rest of the line as typed, with its formatting."""
    html = html_after(line, line.words[0].start) if line.words and line.html else None
    return Relayed(line.rest, html)


def text(line: Line, known: Known) -> Relayed:
    """Everything that follows, as typed."""
    del known
    return relayed(line)


# --- time


def start(line: Line, known: Known) -> Start | Confirmed:
    """Nothing, a time limit, or `confirm`."""
    del known
    words = _without(line.words, "for", "with", "now")
    if not words:
        return Start()
    if len(words) == 1 and words[0].fold in ("confirm", "yes"):
        return Confirmed()
    return Start(duration(" ".join(word.text for word in words)))


def timer(line: Line, known: Known) -> timedelta | None:
    """A length of time from now, or `off` (None)."""
    del known
    words = _without(line.words, "to", "for")
    if len(words) == 1 and words[0].fold in ("off", "none", "stop"):
        return None
    return _length(words, "breakout timer 15m")


def extend(line: Line, known: Known) -> timedelta:
    """A length of time."""
    del known
    return _length(_without(line.words, "by", "for"), "breakout extend 5m")


def end(line: Line, known: Known) -> End | Cancelled:
    """Nothing, `now`, `cancel`, or how long the notice is."""
    del known
    words = _without(line.words, "in", "after")
    if not words:
        return End()
    if len(words) == 1 and words[0].fold == "now":
        return End(at_once=True)
    if len(words) == 1 and words[0].fold == "cancel":
        return Cancelled()
    return End(_length(words, "breakout end 2m"))


def _length(words: Sequence[Word], example: str) -> timedelta:
    if not words:
        raise Missing("how long", example)
    return duration(" ".join(word.text for word in words))


def _without(words: Sequence[Word], *fillers: str) -> tuple[Word, ...]:
    return tuple(words[1:] if words and words[0].fold in fillers else words)


# --- one word, or none


def only(word: str) -> Callable[[Line, Known], bool]:
    """A parser of one word that may be left out: True where it is there."""

    def parse(line: Line, known: Known) -> bool:
        del known
        if not line.words:
            return False
        if len(line.words) == 1 and line.words[0].fold == word:
            return True
        raise TooMuch(line.rest)

    return parse


def nothing(line: Line, known: Known) -> None:
    """No arguments."""
    del known
    if line.words:
        raise TooMuch(line.rest)
