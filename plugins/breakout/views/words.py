"""The one catalogue of sentences, and the parts that many sentences share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from bot.message.doc import Inline, Mention, Para, Text
from bot.message.sentence import Catalogue
from plugins.breakout.domain.model import Mode, Room
from plugins.breakout.scene import Scene

catalogue = Catalogue()
say, say_n, text, text_n = catalogue.say, catalogue.say_n, catalogue.text, catalogue.text_n

A_WHILE = 2.0
"""Seconds from which on it is worth saying how long something takes."""

LONG, SHORT = 300.0, 30.0
"""Seconds left: from the one on nobody counts seconds, from the other on only in fives."""

MOST_NAMES = 40
"""Longer lists fall back to counts."""


def listed(parts: Sequence[Inline]) -> tuple[Inline, ...]:
    """The parts as an enumeration: "Ann, Bob and Cleo"."""
    if len(parts) <= 1:
        return tuple(parts)
    joined: list[Inline] = []
    for part in parts[:-1]:
        joined += [part, Text(", ")]
    joined[-1] = Text(text(" and "))
    return (*joined, parts[-1])


def people(scene: Scene, users: Iterable[str]) -> tuple[Inline, ...]:
    """People by name, without pings; a count where they are many."""
    users = tuple(users)
    if len(users) > MOST_NAMES:
        return (Text(text_n("{count} person", "{count} people", len(users))),)
    return listed([scene.name(user) for user in users])


def mentioned(scene: Scene, users: Iterable[str]) -> tuple[Inline, ...]:
    """People as pills that ping."""
    mentions: list[Mention] = [scene.mention(user) for user in users]
    return listed(mentions)


def in_a_row(numbers: Iterable[int]) -> bool:
    """Whether numbers count from one on, so that they need not be said where things are told in order."""
    numbers = tuple(numbers)
    return numbers == tuple(range(1, len(numbers) + 1))


def numbered(rooms: Sequence[Room]) -> tuple[Inline, ...]:
    """Rooms with their numbers, for those who are to tap or type one: "2 Green and 3 Blue"."""
    return listed([Text(with_number(room.number, room.name)) for room in rooms])


def with_number(number: int, name: str) -> str:
    """A room's name with its number, once: "Room 2" has it."""
    return name if name == f"Room {number}" else f"{number} {name}"


def counted_people(count: int) -> str:
    """How many people."""
    return text_n("{count} person", "{count} people", count)


def setup_line(count: int, asked_with: Iterable[str]) -> str:
    """The `setup` of so many rooms with these words, behind the prefix."""
    return " ".join(("setup", str(count), *asked_with))


def counted_rooms(count: int) -> str:
    """How many rooms."""
    return text_n("{count} room", "{count} rooms", count)


def typed_length(length: timedelta) -> str:
    """A length of whole minutes as people type it: `1h30m`."""
    hours, minutes = divmod(round(length / timedelta(minutes=1)), 60)
    return "".join((f"{hours}h" if hours else "", f"{minutes}m" if minutes or not hours else ""))


def length(span: timedelta) -> str:
    """A length of time in words, in its two largest units."""
    seconds = max(0, round(span.total_seconds()))
    days, hours, minutes, rest = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    units = [
        (days, text_n("{count} day", "{count} days", days)),
        (hours, text_n("{count} hour", "{count} hours", hours)),
        (minutes, text_n("{count} minute", "{count} minutes", minutes)),
        (rest, text_n("{count} second", "{count} seconds", rest)),
    ]
    parts = [words for amount, words in units if amount]
    return " ".join(parts[:2]) or text("a moment")


def from_now(span: timedelta) -> str:
    """How long until a moment whose clock time is said too, rounded as people say it."""
    seconds = max(0.0, span.total_seconds())
    step = 60 if seconds >= LONG else 5 if seconds >= SHORT else 1
    return length(timedelta(seconds=round(seconds / step) * step))


def taken_out(room: str) -> Para:
    """To somebody whom a moderator removed from their room: a link would not let them in."""
    return say("A moderator took you out of {room}. Please ask one of them.", room=room)


def how_long(seconds: float) -> tuple[Para, ...]:
    """How long a start takes, where that is worth a word."""
    if seconds < A_WHILE:
        return ()
    return (say("The start takes about {time} on this server.", time=length(timedelta(seconds=seconds))),)


def mode_name(mode: Mode) -> str:
    """A mode in words."""
    match mode:
        case Mode.AUTO:
            return text("people are dealt automatically")
        case Mode.MANUAL:
            return text("you seat people by hand")
        case Mode.CHOOSE:
            return text("people choose their room")
