"""What a bot has done, as the homeserver tells it: the same eyes for every bot that is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bot.testing.raw import RawUser, Seen

ROOM = "Room "
"""How the name of a breakout room begins, whoever made it."""

QUIET = 0.4
"""Seconds without an event after which an operation is over, its last edits apart."""

_LOCKED = 50
_INSIDE = ("invite", "join")


class Kind(StrEnum):
    """What can be waited for and counted."""

    REPLY = "a new message of the bot in the main room"
    SAID = "a new message of the bot in a breakout room"
    INVITED = "somebody is invited to a breakout room"
    OUT = "somebody is out of a breakout room, or the invite withdrawn"
    LOCKED = "a breakout room is locked"
    OPEN = "a breakout room is open: made, or unlocked"


Needs: TypeAlias = Mapping[Kind, int]
"""So many of each kind make an operation done."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event that counts. `at` is the homeserver's clock, in seconds since 1970, which is this machine's too."""

    at: float
    kind: Kind
    room: str
    who: str


class Watch:
    """The breakout rooms of one main room, called `name`, folded from a sync of the bot's account.

    The moments are those at which the homeserver made the events, so that they do not depend on how soon we hear.
    """

    def __init__(self, account: RawUser, main: str, name: str) -> None:
        self.main, self.name = main, name
        self._ending, self._desk = f" · {name}", f"Moderators of {name}"
        self._account = account
        self._position = 0
        self._ids: set[str] = set()
        self._names: dict[str, str] = {}
        self._happened: list[Happened] = []
        self._members: dict[tuple[str, str], str] = {}

    def mark(self) -> int:
        """A position: `times` and `until` count what happened after it."""
        self.look()
        return len(self._happened)

    def look(self) -> None:
        """Take in what was heard since the last look."""
        while self._position < self._account.heard:
            self._take(self._account.transcript[self._position])
            self._position += 1

    def times(self, kind: Kind, after: int) -> list[float]:
        """The moments of what happened in this way, in order; the same person in the same room counts once."""
        first: dict[tuple[str, str], float] = {}
        for seen in self._happened[after:]:
            if seen.kind is kind and self._counts(seen):
                first.setdefault((seen.room, seen.who), seen.at)
        return sorted(first.values())

    def invites(self, after: int) -> tuple[list[tuple[str, str]], int]:
        """The invites to breakout rooms after a position, as room and user, and the next position."""
        end = self.mark()
        news = self._happened[after:end]
        return [(new.room, new.who) for new in news if new.kind is Kind.INVITED and self._counts(new)], end

    async def until(self, needs: Needs, after: int, patience: float) -> None:
        """Wait until enough has happened; raises `TimeoutError`, which says what is lacking."""
        deadline = time.monotonic() + patience
        while lacking := self._lacking(needs, after):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self._account.user_id}: after {patience:g} s still lacking {lacking}")
            await self._news(left)

    async def quiet(self, seconds: float = QUIET) -> None:
        """Wait until nothing happens for so long."""
        while await self._news(seconds):
            self.look()

    def seats(self) -> dict[str, str]:
        """The breakout room in which each person is, or to which they are invited; by user id."""
        self.look()
        return {
            user: room
            for (room, user), membership in self._members.items()
            if membership in _INSIDE and self.is_breakout(room) and user != self._account.user_id
        }

    def rooms(self) -> dict[str, str]:
        """The breakout rooms in which somebody is, by their short name ("Room 1")."""
        return {self._names[room].partition(" · ")[0]: room for room in dict.fromkeys(self.seats().values())}

    def is_breakout(self, room: str) -> bool:
        """Whether it is one of the rooms that are made for groups."""
        name = self._names.get(room, "")
        return name.startswith(ROOM) and name.endswith(self._ending)

    async def left(self, patience: float) -> float:
        """Wait until the bot is in none of these rooms, nor at the desk; returns the moment."""
        self.look()
        rooms = {room for room, name in self._names.items() if name == self._desk or self.is_breakout(room)}
        async with asyncio.timeout(patience):
            # A room that is forgotten is in no sync any more.
            while await self._account.joined_rooms() & rooms:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return time.time()

    # ----------------------------------------------------------------------------------------- hearing

    async def _news(self, seconds: float) -> bool:
        try:
            await self._account.wait_for(lambda _: True, seconds, after=self._account.heard)
        except TimeoutError:
            return False
        return True

    def _lacking(self, needs: Needs, after: int) -> dict[str, int]:
        self.look()
        return {
            kind.name: wanted - found
            for kind, wanted in needs.items()
            if (found := len(self.times(kind, after))) < wanted
        }

    def _counts(self, seen: Happened) -> bool:
        return seen.room == self.main if seen.kind is Kind.REPLY else self.is_breakout(seen.room)

    def _take(self, seen: Seen) -> None:
        if seen.event_id in self._ids or not seen.event_id:
            return
        self._ids.add(seen.event_id)
        at = float(seen.event.get("origin_server_ts", 0)) / 1000
        mine = seen.sender == self._account.user_id
        match seen.type:
            case "m.room.name":
                self._names[seen.room] = str(seen.content.get("name", ""))
            case "m.room.member":
                self._member(seen, at)
            case "m.room.power_levels":
                locked = seen.content.get("events_default", 0) >= _LOCKED
                self._note(at, Kind.LOCKED if locked else Kind.OPEN, seen.room, seen.event_id)
            case "m.room.message" | "m.room.encrypted" if mine and _is_new(seen):
                self._note(at, Kind.REPLY if seen.room == self.main else Kind.SAID, seen.room, seen.event_id)

    def _member(self, seen: Seen, at: float) -> None:
        user, membership = str(seen.state_key), str(seen.content.get("membership"))
        if user == self._account.user_id:
            return
        self._members[seen.room, user] = membership
        if membership == "invite":
            self._note(at, Kind.INVITED, seen.room, user)
        elif membership in ("leave", "ban"):
            self._note(at, Kind.OUT, seen.room, user)

    def _note(self, at: float, kind: Kind, room: str, who: str) -> None:
        self._happened.append(Happened(at, kind, room, who))


def _is_new(seen: Seen) -> bool:
    relation = seen.content.get("m.relates_to")
    return not (isinstance(relation, Mapping) and relation.get("rel_type") == "m.replace")
