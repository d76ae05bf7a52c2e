"""What the host refuses in a typed line, as facts; `bot.commands.sentences` has the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from bot.errors import BotError
from bot.plugin import Command


class HostRefusal(BotError):
    """A command that is not carried out and changes nothing."""


@dataclass(eq=False)
class NotPermitted(HostRefusal):
    """The asker's role is lower than the command's."""

    command: Command


@dataclass(eq=False)
class WrongPlace(HostRefusal):
    """The command does not work in this kind of place (`command.where` has those where it does)."""

    command: Command
    place: str


@dataclass(eq=False)
class UnknownCommand(HostRefusal):
    """No such command; `nearest` is one that the asker may run and may have meant, `other` another one."""

    typed: str
    nearest: Command | None = None
    other: Command | None = None


class Fault(StrEnum):
    """What is wrong with a length of time."""

    UNREADABLE = "unreadable"
    NOT_POSITIVE = "not positive"
    TOO_LONG = "too long"
    TWO_READINGS = "two readings"


@dataclass(eq=False)
class BadDuration(HostRefusal):
    """No length of time. `readings` are what `1:30` might mean; `most` is the longest one allowed."""

    typed: str
    fault: Fault = Fault.UNREADABLE
    readings: tuple[str, ...] = ()
    most: timedelta | None = None


@dataclass(eq=False)
class BadNumber(HostRefusal):
    """No whole number between `least` and `most`."""

    typed: str
    least: int
    most: int | None = None


@dataclass(eq=False)
class BadChoice(HostRefusal):
    """None of the words that may stand here."""

    typed: str
    options: Sequence[str]


@dataclass(eq=False)
class UnknownPerson(HostRefusal):
    """Nobody here has this name; `candidates` are names close to it, `everybody` all names, where they are few."""

    typed: str
    candidates: Sequence[str] = ()
    everybody: Sequence[str] = ()


@dataclass(eq=False)
class AmbiguousPerson(HostRefusal):
    """Several people have this name; `candidates` are their ids, which tell them apart."""

    typed: str
    candidates: Sequence[str]


@dataclass(eq=False)
class Missing(HostRefusal):
    """Something must still be said. `what` fits behind "Please say" ("which room").

    `example` is a whole line without the prefix, or empty.
    """

    what: str
    example: str = ""


@dataclass(eq=False)
class TooMuch(HostRefusal):
    """The command takes no such argument."""

    typed: str
