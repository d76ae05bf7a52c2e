"""The session that is killed: all that a session can go through, each step waiting for what it brings."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bot.testing.raw import RawUser, Seen, pill
from plugins.breakout.demo.reader import RoomSeen
from plugins.breakout.demo.stage import CLOSING_NOTICE, WARNING, Stage

T = TypeVar("T")

ACTS = (
    *("meet", "set_up", "choose", "start", "help", "move", "swap", "talk", "late", "kick", "promote"),
    *("time", "end", "again", "delete"),
)
SHORT = ("meet", "set_up", "choose", "start", "help", "swap", "talk", "kick", "end", "delete")
"""What takes half a minute, since it waits for no time limit."""

CLASS = "Class 7b"
ALPHA, BETA = TEAMS = ("Team Alpha", "Team Beta")
MODERATORS = ("Mia", "Noah")
EARLY = ("Ann", "Ben", "Cleo", "Dan", "Eva")
LATE, KICKED, PROMOTED = "Kim", "Eva", "Dan"
NAMES = (*MODERATORS, *EARLY, LATE)
CHOICES = {"Ann": ALPHA, "Ben": ALPHA, "Cleo": BETA, "Dan": BETA}
TAPS = "Eva"
"""Who chooses the first room by its number."""

QUESTION, BROADCAST, TOLD = "We cannot agree", "Remember that it may rain", "You are ahead"
COMING, HELP_CLOSED, BACK = "is coming", "is closed", "everybody is back here"
LEFT, CLOSES, CLOSED = " left: this room closes", "This room closes in", "This room is closed"

TIMER = WARNING + 4
TIMER_PER_KILL = 5
EXTENSION = 3
"""Seconds."""


class Missing(Exception):
    """What did not come in time, and what came instead."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A moderator's command, which is to be answered once."""

    event: str
    text: str


@dataclass
class Record:
    """What happened, for the verification."""

    acts: Sequence[str] = ACTS
    main: str = ""
    desk: str = ""
    rooms: dict[str, str] = field(default_factory=dict)
    seats: dict[str, str] = field(default_factory=dict)
    """Where everybody should be."""
    invitations: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each person was given a seat in each team."""
    typed: list[Typed] = field(default_factory=list)
    ends: tuple[float, float] | None = None
    """Between which moments the time limit ends, in seconds since 1970."""
    before: RoomSeen | None = None
    deleted: list[RoomSeen] = field(default_factory=list)
    progress: list[tuple[float, float]] = field(default_factory=list)
    """When each step was done, and since when it could have been."""


class Story:
    """One session. `begins` is told of each act; `settled` reads the homeserver until it is as it should be.

    `patience`: seconds that a step may take; `kills`: how often the bot is killed while a time limit is set.
    """

    def __init__(
        self,
        stage: Stage,
        begins: Callable[[str], None],
        settled: Callable[[str, Record], Awaitable[list[RoomSeen]]],
        *,
        patience: float,
        kills: int,
        acts: Sequence[str] = ACTS,
    ) -> None:
        self.record = Record(acts)
        self._stage, self._people = stage, stage.people
        self._begins, self._settled = begins, settled
        self._patience = patience
        self._timer = TIMER + TIMER_PER_KILL * kills
        self._mia, self._noah = stage.people["Mia"], stage.people["Noah"]

    async def play(self) -> None:
        """The acts in order; raises `Missing`."""
        for act in self.record.acts:
            self._begins(act)
            await getattr(self, f"_{act}")()

    # ------------------------------------------------------------------------------------------- the acts

    async def _meet(self) -> None:
        others = [self._noah, *(self._people[name] for name in EARLY)]
        powers = {self._stage.bot_id: 100, self._noah.user_id: 50}
        main = self.record.main = await self._mia.create_room(
            CLASS, invite=others, powers=powers, encrypted=self._stage.encrypted
        )
        await asyncio.gather(*(user.join(main) for user in others))
        await self._mia.invite(main, self._stage.bot_id)
        await self._hears(self._mia, main, "setup")
        self.record.before = next(room for room in await self._stage.reader.rooms() if room.id == main)

    async def _set_up(self) -> None:
        await self._types(f"setup {', '.join(TEAMS)} choose")
        await self._hears(self._mia, self.record.main, BETA)
        for moderator in (self._mia, self._noah):
            self.record.desk = await self._comes_to_the_desk(moderator)
        await self._hears(self._mia, self.record.desk, "desk")

    async def _choose(self) -> None:
        for name, team in CHOICES.items():
            event = await self._people[name].say(self.record.main, f"!breakout choose {team}")
            await self._waits(self._mia, lambda seen, event=event: _taps(seen, "✅", event))  # type: ignore[misc]
            self.record.seats[name] = team
        offered = await self._waits(self._mia, lambda seen: _taps(seen, "1", None) and self._is_bot(seen))
        await self._people[TAPS].react(
            self.record.main, offered.content["m.relates_to"]["event_id"], offered.content["m.relates_to"]["key"]
        )
        self.record.seats[TAPS] = ALPHA

    async def _start(self) -> None:
        await self._types("start 20m")
        await self._all(self._accepts(name, 0) for name in EARLY)
        await self._hears(self._mia, self.record.main, "open until")

    async def _help(self) -> None:
        ben, room = self._people["Ben"], self._room_of("Ben")
        await ben.say(room, f"!help {QUESTION}")
        call = await self._hears(self._noah, self.record.desk, QUESTION)
        await self._noah.react(self.record.desk, call.event_id, "👀")
        await self._hears(ben, room, COMING)
        await self._noah.join(room)
        await self._noah.say(room, "Make a list of pros and cons, then vote.")
        await self._hears(self._noah, self.record.desk, HELP_CLOSED)

    async def _move(self) -> None:
        await self._moves(f"assign {self._pill('Cleo')} to {ALPHA}", {"Cleo": ALPHA})

    async def _swap(self) -> None:
        await self._moves(f"swap {self._pill('Ann')} {self._pill('Dan')}", {"Ann": BETA, "Dan": ALPHA})

    async def _moves(self, command: str, to: Mapping[str, str]) -> None:
        former = {name: self._room_of(name) for name in to}
        invites = {name: len(self._people[name].invites) for name in to}
        await self._types(command)
        for name, team in to.items():
            self.record.seats[name] = team
        # Who goes before the bot knows of the invitation needs no word where to go: so they wait for it here.
        for name in to:
            await self._hears(self._people[name], former[name], f"{name}, please go to")
        await self._all(self._accepts(name, invites[name]) for name in to)
        for name in to:
            await self._is(self._people[name], former[name], "leave")

    async def _talk(self) -> None:
        await self._types(f"broadcast {BROADCAST}")
        for name in ("Ben", "Ann"):
            await self._hears(self._people[name], self._room_of(name), BROADCAST)
        await self._hears(self._mia, self.record.main, "Said in 2 rooms")
        await self._types(f"tell {ALPHA} {TOLD}")
        await self._hears(self._people["Ben"], self._room_of("Ben"), TOLD)

    async def _late(self) -> None:
        late = self._people[LATE]
        await self._mia.invite(self.record.main, late)
        await late.join(self.record.main)
        await self._hears(late, self.record.main, "choose a room with its number")
        await late.say(self.record.main, f"!breakout choose {BETA}")
        self.record.seats[LATE] = BETA
        await self._accepts(LATE, 0)

    async def _kick(self) -> None:
        room = self._room_of(KICKED)
        await self._mia.kick(self.record.main, self._people[KICKED])
        await self._is(self._people[KICKED], room, "leave")
        del self.record.seats[KICKED]

    async def _promote(self) -> None:
        await self._mia.set_powers(self.record.main, {self._people[PROMOTED].user_id: 50})
        await self._comes_to_the_desk(self._people[PROMOTED])
        await self._hears(self._mia, None, "is a moderator now")
        del self.record.seats[PROMOTED]

    async def _time(self) -> None:
        await self._settled("running", self.record)
        earliest = time.time() + self._timer + EXTENSION
        await self._types(f"timer {self._timer}s")
        await self._hears(self._mia, self.record.main, "rooms close at")
        heard = self._mia.heard
        await self._types(f"extend {EXTENSION}s")
        await self._hears(self._mia, self.record.main, "rooms close at", after=heard)
        self.record.ends = (earliest, time.time() + self._timer + EXTENSION)

    async def _end(self) -> None:
        if self.record.ends is None:
            await self._settled("running", self.record)
            await self._types("end")
            await self._hears(self._mia, self.record.main, BACK)
        else:
            await self._times_out(*self.record.ends)
        await self._nobody_is_left()
        await self._settled("ended", self.record)

    async def _times_out(self, first: float, last: float) -> None:
        listeners = [self._people[name] for name in ("Ben", "Ann")]
        # Where the bot was down when something was due, what comes next is the first that is heard.
        for words, before in (((LEFT, CLOSES, CLOSED), WARNING), ((CLOSES, CLOSED), CLOSING_NOTICE), ((CLOSED,), 0)):
            for user in listeners:
                await self._hears(user, self._room_of(user.name), *words, due=(first + last) / 2 - before)
        await self._hears(self._mia, self.record.main, BACK, due=last)

    async def _again(self) -> None:
        invites = {name: len(self._people[name].invites) for name in self.record.seats}
        heard = self._mia.heard
        await self._types("start")
        await self._all(self._accepts(name, after) for name, after in invites.items())
        await self._hears(self._mia, self.record.main, "rooms are open", after=heard)
        positions = {name: self._people[name].heard for name in invites}
        heard = self._mia.heard
        await self._types("end now")
        await self._hears(self._mia, self.record.main, BACK, after=heard)
        await self._nobody_is_left(positions)

    async def _delete(self) -> None:
        await self._types("delete")
        question = await self._hears(self._mia, self.record.main, "Tap ✅")
        await self._mia.react(self.record.main, question.event_id, "✅")
        await self._hears(self._mia, self.record.main, "are being deleted")
        self.record.deleted = await self._settled("deleted", self.record)

    # -------------------------------------------------------------------------------------- what people do

    async def _types(self, command: str) -> None:
        html = f"!breakout {command}"
        text = re.sub("<[^>]*>", "", html)
        event = await self._mia.say(self.record.main, text, html=html if html != text else None)
        self.record.typed.append(Typed(event, text))

    async def _accepts(self, name: str, after: int) -> None:
        user, team = self._people[name], self.record.seats[name]
        invite = await self._in_time(user.invited(f"{team} ·", self._patience, after=after), f"{name}’s invite", user)
        self.record.rooms[team] = invite.room
        self.record.invitations[name, team] += 1
        await user.join(invite.room)
        await user.say(invite.room, f"Hello, it is {name}")

    async def _comes_to_the_desk(self, user: RawUser) -> str:
        invite = await self._in_time(user.invited("Moderators of", self._patience), f"{user.name}’s desk", user)
        await user.join(invite.room)
        return invite.room

    # --------------------------------------------------------------------------------------------- waiting

    async def _all(self, steps: Iterable[Coroutine[None, None, None]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for step in steps:
                    group.create_task(step)
        except* Missing as missing:
            raise missing.exceptions[0] from None

    async def _nobody_is_left(self, after: Mapping[str, int] | None = None) -> None:
        for name in self.record.seats:
            await self._is(self._people[name], self._room_of(name), "leave", (after or {}).get(name, 0))

    async def _hears(
        self, user: RawUser, room: str | None, *parts: str, after: int = 0, due: float | None = None
    ) -> Seen:
        def wanted(seen: Seen) -> bool:
            said = seen.type == "m.room.message" and self._is_bot(seen) and room in (None, seen.room)
            return said and any(part in seen.body for part in parts)

        return await self._waits(user, wanted, after=after, due=due, what=f"“{parts[0]}”")

    async def _waits(
        self,
        user: RawUser,
        wanted: Callable[[Seen], bool],
        *,
        after: int = 0,
        due: float | None = None,
        what: str = "a tap",
    ) -> Seen:
        since = time.time()
        patience = self._patience + max(0.0, (due or since) - since)
        return await self._in_time(user.wait_for(wanted, patience, after=after), f"{what} for {user.name}", user, due)

    async def _is(self, user: RawUser, room: str, membership: str, after: int = 0) -> None:
        coming = user.membership(room, user, membership, self._patience, after=after)
        await self._in_time(coming, f"{membership} of {user.name}", user)

    async def _in_time(self, coming: Awaitable[T], what: str, user: RawUser, due: float | None = None) -> T:
        since = time.time()
        try:
            found = await coming
        except TimeoutError:
            raise Missing(f"{what} did not come; heard last:\n{user.told(15)}") from None
        self.record.progress.append((time.time(), max(since, due or 0.0)))
        return found

    def _is_bot(self, seen: Seen) -> bool:
        return seen.sender == self._stage.bot_id

    def _room_of(self, name: str) -> str:
        return self.record.rooms[self.record.seats[name]]

    def _pill(self, name: str) -> str:
        return pill(self._people[name].user_id, name)


def _taps(seen: Seen, key: str, event: str | None) -> bool:
    relation = seen.content.get("m.relates_to", {})
    return (
        seen.type == "m.reaction"
        and str(relation.get("key", "")).startswith(key)
        and event in (None, relation.get("event_id"))
    )
