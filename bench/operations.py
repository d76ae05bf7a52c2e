"""What is measured: each operation with what a moderator types, what makes it done, and what the people do.

A new one is an `Operation` in a course, and a coroutine of `Floor` that sends the least for it. The peer takes part
in a course where it has words for every operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from bench.floor import Act, Floor
from bench.ground import Hall, Size
from bench.watch import Kind, Needs

OURS, PEER, FLOOR = "ours", "peer", "floor"


class People(Enum):
    """What people do about their invites."""

    WAIT = auto()
    COME_AFTERWARDS = auto()
    COME_MEANWHILE = auto()


@dataclass(frozen=True)
class Operation:
    """One act of a moderator. The times of `key` are noted besides the end: the first invite and the last, say."""

    name: str
    says: Mapping[str, Callable[[Hall], tuple[str, ...]]]
    """By whose word: what the moderator types, each line after the answer to the one before."""
    floor: Act
    needs: Callable[[Size], Needs]
    """What makes it done for people, whoever does it."""
    more: Callable[[Size], Needs] = field(default=lambda _: {})
    """What besides is there in the end where our bot did it, or the floor."""
    key: Kind = Kind.REPLY
    people: People = People.WAIT
    leaves: bool = False
    """Done when the bot is in no room but the main room."""

    def done(self, who: str, size: Size) -> Needs:
        """What to wait for."""
        return self.needs(size) if who == PEER else {**self.needs(size), **self.more(size)}


def _typed(*lines: str) -> Callable[[Hall], tuple[str, ...]]:
    return lambda _: lines


def _setup(hall: Hall) -> tuple[str, ...]:
    return (f"setup {hall.size.rooms}",)


def _one_room_on(hall: Hall) -> tuple[str, ...]:
    """Everybody to the room after their own, in one message with a line for each room."""
    numbers = {room: int(name.split()[1]) for name, room in hall.watch.rooms().items()}
    groups: dict[int, list[str]] = {}
    for user, room in hall.watch.seats().items():
        groups.setdefault(numbers[room] % hall.size.rooms + 1, []).append(user)
    return ("assign\n" + "\n".join(f"Room {number}: {' '.join(users)}" for number, users in sorted(groups.items())),)


def _all_invited(size: Size) -> Needs:
    return {Kind.INVITED: size.people, Kind.SAID: size.rooms, Kind.REPLY: 1}


def _all_out(size: Size) -> Needs:
    return {Kind.OUT: size.people, Kind.SAID: size.rooms, Kind.REPLY: 1}


def _open(size: Size) -> Needs:
    return {Kind.OPEN: size.rooms, Kind.REPLY: 3}


def _locked(size: Size) -> Needs:
    return {Kind.LOCKED: size.rooms, Kind.REPLY: 3}


SETUP = Operation(
    "setup",
    {OURS: _setup, PEER: _setup},
    Floor.setup,
    lambda _: {Kind.REPLY: 1},
    lambda _: {Kind.REPLY: 2},
)
START = Operation(
    "start",
    {OURS: _typed("start"), PEER: _typed("start")},
    Floor.start,
    _all_invited,
    _open,
    Kind.INVITED,
    People.COME_AFTERWARDS,
)
BROADCAST = Operation(
    "broadcast",
    {OURS: _typed("broadcast Hello everybody"), PEER: _typed("broadcast Hello everybody")},
    Floor.broadcast,
    lambda size: {Kind.SAID: size.rooms, Kind.REPLY: 1},
    key=Kind.SAID,
)
MOVE = Operation(
    "move everybody",
    {OURS: _one_room_on, PEER: _typed("move")},
    Floor.move,
    lambda size: {Kind.INVITED: size.people, Kind.OUT: size.people, Kind.REPLY: 1},
    key=Kind.INVITED,
    people=People.COME_MEANWHILE,
)
END = Operation(
    "end",
    {OURS: _typed("end now"), PEER: _typed("end")},
    Floor.end,
    _all_out,
    _locked,
    Kind.OUT,
)
START_AGAIN = Operation(
    "start again",
    {OURS: _typed("start"), PEER: _typed("start")},
    Floor.start_again,
    _all_invited,
    _open,
    Kind.INVITED,
)
WITHDRAW = Operation(
    "end, nobody has come",
    {OURS: _typed("end now"), PEER: _typed("end")},
    Floor.end,
    _all_out,
    _locked,
    Kind.OUT,
)
DELETE = Operation(
    "delete",
    {OURS: _typed("delete", "delete confirm"), PEER: _typed("delete")},
    Floor.delete,
    lambda _: {Kind.REPLY: 1},
    leaves=True,
)

PREPARE = Operation(
    "prepare",
    {OURS: _typed("prepare")},
    Floor.prepare,
    lambda size: {Kind.INVITED: size.people, Kind.LOCKED: size.rooms, Kind.REPLY: 1},
    key=Kind.INVITED,
)
START_PREPARED = Operation(
    "start, prepared",
    {OURS: _typed("start")},
    Floor.start_prepared,
    lambda size: {Kind.SAID: size.rooms, Kind.OPEN: size.rooms, Kind.REPLY: 3},
    key=Kind.OPEN,
)


END_KEPT = Operation(
    "end, all stay",
    {OURS: _typed("end now")},
    Floor.end_kept,
    lambda size: {Kind.LOCKED: size.rooms, Kind.SAID: size.rooms, Kind.REPLY: 1},
    _locked,
    Kind.LOCKED,
)
START_KEPT = Operation(
    "start again, all are there",
    {OURS: _typed("start")},
    Floor.start_prepared,
    lambda size: {Kind.SAID: size.rooms, Kind.OPEN: size.rooms, Kind.REPLY: 3},
    key=Kind.OPEN,
)
DELETE_KEPT = replace(DELETE, floor=Floor.delete_kept)


@dataclass(frozen=True)
class Course:
    """Operations in one main room, in order, after which everything is as before; those `noted` are reported."""

    name: str
    operations: tuple[Operation, ...]
    noted: tuple[Operation, ...]
    on_postgres: bool = False
    """Whether the homeserver has its data in PostgreSQL, as most real ones do, and not in SQLite."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What is set for our bot besides what benchmarks always set."""


_ALL = (SETUP, START, BROADCAST, MOVE, END, START_AGAIN, WITHDRAW, DELETE)
USUAL = Course("usual", _ALL, _ALL)
PREPARED = Course("prepared", (SETUP, PREPARE, START_PREPARED, WITHDRAW, DELETE), (PREPARE, START_PREPARED))
KEPT = Course(
    "kept",
    (SETUP, START, END_KEPT, START_KEPT, END_KEPT, DELETE_KEPT),
    (END_KEPT, START_KEPT),
    settings={"on_end": "keep"},
)
POSTGRES = replace(USUAL, name="on PostgreSQL", on_postgres=True)
COURSES = (USUAL, PREPARED, KEPT)
NOTED = tuple(operation for course in COURSES for operation in course.noted)
"""All operations that are reported."""
