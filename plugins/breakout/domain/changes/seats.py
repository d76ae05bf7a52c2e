"""Who gets, changes and gives up which seat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from random import Random

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Person, Room, Session, Settings


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


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came of a choice. `left` is the room given up by it; `invited` says that an invite is on its way."""

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


def assign(
    session: Session | None, seats: Sequence[tuple[str, int]], *, people: Sequence[Person], now: datetime
) -> Change[Assigned]:
    """Seat people by hand: pairs of user and room number, of all lines of the command."""
    raise NotImplementedError


def swap(session: Session | None, first: str, second: str, *, now: datetime) -> Change[Assigned]:
    """Exchange two people's seats."""
    raise NotImplementedError


def unassign(session: Session | None, users: Sequence[str]) -> Change[Unassigned]:
    """Take seats away; a start does not deal these people new ones."""
    raise NotImplementedError


def shuffle(
    session: Session | None, *, people: Sequence[Person], now: datetime, rng: Random, really: bool
) -> Change[Dealt]:
    """Deal everybody again; while running only with `really` (`shuffle now`)."""
    raise NotImplementedError


def fill(session: Session | None, *, people: Sequence[Person], now: datetime, rng: Random) -> Change[Dealt]:
    """Seat those without a seat, each in the smallest room."""
    raise NotImplementedError


def choose(
    session: Session | None, user: str, number: int, *, people: Sequence[Person], now: datetime
) -> Change[Chosen]:
    """Take a seat in choose mode; the last choice wins."""
    raise NotImplementedError


def unchoose(session: Session | None, user: str, number: int) -> Change[bool]:
    """The number's reaction taken back: before the start the seat goes with it. Tells whether it did."""
    raise NotImplementedError


def pass_round(session: Session | None, user: str) -> Change[None]:
    """`pass`: takes no part in this round (or the coming one)."""
    raise NotImplementedError


def rejoin(
    session: Session | None, user: str, *, people: Sequence[Person], now: datetime, settings: Settings
) -> Change[Rejoined]:
    """`rejoin`: a new invite to one's own room, or a way to a seat."""
    raise NotImplementedError


def go_back(session: Session | None, user: str) -> Change[None]:
    """`!back`: the person is shown as *in main*, and stays in the room."""
    raise NotImplementedError
