"""The session that the demo plays: what people type and tap, each step waiting for what the one before brings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bot.testing.raw import RawUser, Seen, pill
from plugins.breakout.demo.reader import RoomSeen
from plugins.breakout.demo.screen import DESK, MAIN, Tape
from plugins.breakout.demo.stage import CLOSING_NOTICE, EARLY, LATE, PARTICIPANTS, WARNING, Stage

T = TypeVar("T")

CLASS = "Class 7b"
TEAMS = ("Team Alpha", "Team Beta", "Team Gamma")
TASK = "Where shall we go on our class trip? Agree on one place."
BROADCAST = "Remember that it may rain"
LEFT, CLOSES, CLOSED = " left", "closes in", "is closed"
"""Words of the warning, the closing notice and the closing message."""

QUESTION = "We cannot agree"

DECLINES, ASKS, MOVES = "Kim", "Ben", "Cleo"

HELLOS = ("Hello!", "Hi all", "The sea?", "I want to see mountains", "A museum, please", "Somewhere near", "Berlin!")

TIMER = WARNING + 4
"""Seconds, so that the extension comes before the warning does."""

TIMER_PER_KILL = 3
"""Seconds more for each time that the bot has to start again."""

EXTENSION = 4
"""Seconds."""

ACT_SECONDS = (3, 3, 5, 3, 3, 3, 2, 2, TIMER + EXTENSION, 3)
"""About how long each act takes."""


class Missing(Exception):
    """What did not come in time, in one sentence; `heard` are the last things that came instead."""

    def __init__(self, what: str, heard: str) -> None:
        super().__init__(f"{what} did not come in time.")
        self.heard = heard


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that somebody typed, and that is to be answered once."""

    event: str
    room: str
    text: str


@dataclass
class Record:
    """What happened, for the verification."""

    main: str = ""
    desk: str = ""
    rooms: dict[str, str] = field(default_factory=dict)
    """The room of each team."""
    seats: dict[str, str] = field(default_factory=dict)
    """The team to which each participant was invited last."""
    typed: list[Typed] = field(default_factory=list)
    before: list[RoomSeen] = field(default_factory=list)
    running: list[RoomSeen] = field(default_factory=list)
    ended: list[RoomSeen] = field(default_factory=list)
    deleted: list[RoomSeen] = field(default_factory=list)


class Play:
    """One session from setup to deletion. `patience`: seconds that each step may take.

    `act` is told the number and the caption of each act, and awaited, so that who watches can read. `kills`: how
    often somebody kills the bot meanwhile.
    """

    def __init__(
        self,
        stage: Stage,
        tape: Tape,
        act: Callable[[int, str], Awaitable[None]],
        patience: float,
        kills: int,
    ) -> None:
        self.record = Record()
        self._stage = stage
        self._tape = tape
        self._act = act
        self._patience = patience
        self._timer = TIMER + kills * TIMER_PER_KILL
        self._mia, self._noah = stage.people["Mia"], stage.people["Noah"]

    async def play(self) -> Record:
        """All acts in order; raises `Missing`."""
        start = f"everybody is invited and accepts, only {DECLINES} declines"
        if self._stage.moved:
            start = f"everybody is taken to their room, only {DECLINES} goes back"
        acts: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("A class meets in its main room, and Mia invites the bot", self._meet),
            ("Mia sets up three breakout rooms; she and Noah come to the moderators’ desk", self._set_up),
            (f"Mia starts: {start}", self._start),
            (f"{ASKS} asks for help; Noah taps 👀 and goes there", self._help),
            (f"Mia moves {MOVES} to another room", self._move),
            (f"{LATE} comes late, and gets a seat in the smallest room", self._late),
            ("Mia says something to all rooms at once", self._broadcast),
            (f"Mia sets a timer of {self._timer} s, then gives {EXTENSION} s more", self._time),
            ("A warning comes, then the closing notice; then the rooms close, and everybody is back", self._end),
            ("Mia deletes the rooms, after a confirmation", self._delete),
        )
        for number, (caption, act) in enumerate(acts, 1):
            await self._act(number, f"{number} of {len(acts)} · {caption}")
            await act()
        return self.record

    # ------------------------------------------------------------------------------------------- the acts

    async def _meet(self) -> None:
        bot = self._stage.bot_id
        others = [self._stage.people[name] for name in ("Noah", *EARLY)]
        powers = {bot: 100, self._noah.user_id: 50}
        self.record.main = main = await self._mia.create_room(
            CLASS, invite=others, powers=powers, encrypted=self._stage.encrypted
        )
        self._tape.open(main, MAIN)
        await asyncio.gather(*(user.join(main) for user in others))
        await self._mia.invite(main, bot)
        await self._hears(self._mia, main, "setup", what="The bot’s greeting in the main room")
        self.record.before = await self._stage.reader.rooms()

    async def _set_up(self) -> None:
        await self._types(f"setup {', '.join(TEAMS)}")
        await self._hears(self._mia, self.record.main, TEAMS[-1], what="The answer to the setup")
        for moderator in (self._mia, self._noah):
            what = f"The invitation of {moderator.name} to the desk"
            invite = await self._in_time(moderator.invited("Moderators of", self._patience), what, moderator)
            await moderator.join(invite.room)
            self.record.desk = invite.room
        self._tape.open(self.record.desk, DESK)
        await self._hears(self._mia, self.record.desk, "desk", what="The welcome at the desk")
        await self._types(f"task all {TASK}")
        await self._hears(self._mia, self.record.main, TASK, what="The answer to the task")

    async def _start(self) -> None:
        await self._types("start 20m")
        try:
            async with asyncio.TaskGroup() as people:
                for name in EARLY:
                    people.create_task(self._decline(name) if name == DECLINES else self._accept(name))
        except* Missing as missing:
            raise missing.exceptions[0] from None
        await self._hears(self._mia, self.record.main, "open until", what="The message that the rooms are open")

    async def _help(self) -> None:
        asker = self._stage.people[ASKS]
        room = self._room_of(ASKS)
        await asker.say(room, f"!help {QUESTION}")
        call = await self._hears(self._noah, self.record.desk, QUESTION, what="The call for help at the desk")
        await self._noah.react(self.record.desk, call.event_id, "👀")
        await self._hears(asker, room, "coming", what="The message that Noah is coming")
        await self._noah.join(room)
        await self._noah.say(room, "Make a list of pros and cons, then vote.")
        await self._hears(self._noah, self.record.desk, "is closed", what="The message that the request is closed")

    async def _move(self) -> None:
        mover = self._stage.people[MOVES]
        former = self._room_of(MOVES)
        team = TEAMS[(TEAMS.index(self.record.seats[MOVES]) + 1) % len(TEAMS)]
        invites = len(mover.invites)
        name = pill(mover.user_id, MOVES)
        await self._types(f"assign {MOVES} to {team}", f"!breakout assign {name} to {team}")
        if not self._stage.moved:
            await self._hears(mover, former, "please go to", what=f"The message to {MOVES} in the old room")
        await self._accept(MOVES, after=invites, former=former)
        await self._is(mover, former, "leave", f"The removal of {MOVES} from the old room")

    async def _late(self) -> None:
        late = self._stage.people[LATE]
        await self._mia.invite(self.record.main, late)
        await late.join(self.record.main)
        await late.say(self.record.main, "Sorry, the bus was late")
        await self._accept(LATE, after=1)

    async def _broadcast(self) -> None:
        await self._types(f"broadcast {BROADCAST}")
        for team, user in self._listeners().items():
            await self._hears(user, self.record.rooms[team], BROADCAST, what=f"The broadcast in {team}")
        await self._hears(self._mia, self.record.main, "Said in 3 rooms", what="The receipt of the broadcast")

    async def _time(self) -> None:
        await self._types(f"timer {self._timer}s")
        await self._hears(self._mia, self.record.main, "rooms close at", what="The answer to the timer")
        heard = self._mia.heard
        await self._types(f"extend {EXTENSION}s")
        await self._hears(
            self._mia, self.record.main, "rooms close at", what="The answer to the extension", after=heard
        )

    async def _end(self) -> None:
        self.record.running = await self._stage.reader.rooms()
        listeners = self._listeners()
        # Where the bot was down when something was due, what comes next is the first that is heard.
        steps: tuple[tuple[tuple[str, ...], str, float], ...] = (
            ((LEFT, CLOSES, CLOSED), "warning", self._timer + EXTENSION - WARNING),
            ((CLOSES, CLOSED), "closing notice", WARNING),
        )
        for words, what, seconds in steps:
            for team, user in listeners.items():
                where = self.record.rooms[team]
                await self._hears(user, where, *words, what=f"The {what} in {team}", more=seconds)
        heard = "The message in the main room that everybody is back"
        await self._hears(self._mia, self.record.main, "everybody is back here", what=heard, more=CLOSING_NOTICE)
        for name in self.record.seats:
            user = self._stage.people[name]
            await self._is(user, self._room_of(name), "leave", f"The removal of {name} at the end")
        self.record.ended = await self._stage.reader.rooms()

    async def _delete(self) -> None:
        await self._types("delete")
        question = await self._hears(self._mia, self.record.main, "✅", what="The question before the deletion")
        await self._mia.react(self.record.main, question.event_id, "✅")
        await self._hears(
            self._mia, self.record.main, "being deleted", what="The message that the rooms are being deleted"
        )
        for user in (self._mia.user_id, self._noah.user_id, self._stage.bot_id):
            name = self._stage.names[user]
            await self._in_time(self._until_only_in_main(user), f"The leaving of {name} from the deleted rooms")
        self.record.deleted = await self._stage.reader.rooms()
        for room in self.record.deleted:
            if not room.who():
                self._tape.deserted(room.id)

    # -------------------------------------------------------------------------------------- what people do

    async def _types(self, command: str, html: str | None = None) -> None:
        text = f"!breakout {command}"
        event = await self._mia.say(self.record.main, text, html=html)
        self.record.typed.append(Typed(event, self.record.main, text))

    async def _accept(self, name: str, *, after: int = 0, former: str = "") -> None:
        user = self._stage.people[name]
        room, called = await self._invited(user, after, former)
        team = called.partition(" · ")[0]
        self.record.seats[name] = team
        self.record.rooms[team] = room
        self._tape.open(room, team)
        if not self._stage.moved:
            await user.join(room)
        await user.say(room, HELLOS[PARTICIPANTS.index(name) % len(HELLOS)])

    async def _decline(self, name: str) -> None:
        user = self._stage.people[name]
        room, _ = await self._invited(user, 0)
        await user.leave(room)

    # --------------------------------------------------------------------------------------------- waiting

    async def _invited(self, user: RawUser, after: int, former: str = "") -> tuple[str, str]:
        """Id and name of the breakout room to which somebody is invited, or taken."""
        if self._stage.moved:
            return await self._taken(user, former)
        coming = user.invited("Team ", self._patience, after=after)
        invite = await self._in_time(coming, f"The invitation of {user.name} to a breakout room", user)
        return invite.room, invite.name

    async def _taken(self, user: RawUser, former: str) -> tuple[str, str]:
        """Id and name of the breakout room in which somebody finds themselves, other than the former one."""

        def name(seen: Seen) -> str:
            return str(seen.event.get("content", {}).get("name", ""))

        def is_room(seen: Seen) -> bool:
            inside = seen.section in ("state", "timeline") and seen.room != former
            return inside and seen.type == "m.room.name" and name(seen).startswith("Team ")

        coming = user.wait_for(is_room, self._patience)
        room = await self._in_time(coming, f"The taking of {user.name} to a breakout room", user)
        return room.room, name(room)

    async def _hears(self, user: RawUser, room: str, *parts: str, what: str, after: int = 0, more: float = 0) -> Seen:
        """The bot’s message with any of these words in the room; `more` seconds where it is to come later."""

        def wanted(seen: Seen) -> bool:
            said = seen.type == "m.room.message" and seen.sender == self._stage.bot_id
            return said and seen.room == room and any(part in seen.body for part in parts)

        return await self._in_time(user.wait_for(wanted, self._patience + more, after=after), what, user)

    async def _is(self, user: RawUser, room: str, membership: str, what: str) -> None:
        await self._in_time(user.membership(room, user, membership, self._patience), what, user)

    async def _in_time(self, coming: Awaitable[T], what: str, user: RawUser | None = None) -> T:
        try:
            return await coming
        except TimeoutError:
            raise Missing(what, "" if user is None else user.told(12)) from None

    async def _until_only_in_main(self, user: str) -> None:
        async with asyncio.timeout(self._patience):
            # Nobody is left there to hear of it.
            while await self._stage.reader.joined_rooms(user) != {self.record.main}:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    # ------------------------------------------------------------------------------------------ who is where

    def _room_of(self, name: str) -> str:
        return self.record.rooms[self.record.seats[name]]

    def _listeners(self) -> Mapping[str, RawUser]:
        """One of the people of each team."""
        return {team: self._stage.people[name] for name, team in self.record.seats.items()}
