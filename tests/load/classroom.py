"""One class that lives through session after session: what its moderators type, and what its people do meanwhile."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from bot.testing.raw import MatrixError, RawUser, pill
from tests.load.world import PRESENT, RoomNow, World

ROOMS = 3
PATIENCE = 240.0
"""Seconds within which everything must be as it should be, requests failing all the while."""

HEARD = 10.0
"""Seconds until the world has surely heard of what somebody did."""

CLOSED = "This room is closed."
TIMER = 15
"""Seconds of a time limit that is waited for."""

LATEST = 60.0
"""Seconds that a room may close late where the requests that close it fail: a request is given up after 30."""


class Seat(Enum):
    """Where somebody should be, other than in a room whose number is known."""

    NOWHERE = "in no room"
    ANY = "in one room"
    UNSURE = "in one room at most"
    """Their acts crossed the moderators'."""


class Stuck(Exception):
    """Something did not become as it should within `PATIENCE`."""


@dataclass
class Tally:
    """What all classes did together."""

    acts: int = 0
    sessions: int = 0
    rounds: int = 0
    broadcasts: int = 0
    answers: list[float] = field(default_factory=list)
    """Seconds from each command to its answer, by the homeserver's clock."""
    settling: list[float] = field(default_factory=list)
    """Seconds until everything was as it should be, after the last act of each round."""
    late: list[float] = field(default_factory=list)
    """Seconds that each room was locked after its time."""
    wrong: list[str] = field(default_factory=list)


class Classroom:
    """The class `number`; the same `seed` makes the same choices, though not at the same moments.

    Between two acts pass `think` seconds on average.
    """

    def __init__(
        self,
        number: int,
        moderators: list[RawUser],
        people: list[RawUser],
        world: World,
        tally: Tally,
        seed: int,
        think: float,
    ) -> None:
        self.name = f"Class {number}"
        self._thinks = think
        self.main = ""
        self._moderators, self._people = moderators, people
        self._world, self._tally = world, tally
        self._chance = random.Random(f"{seed}/{number}")
        self._chooses = self._chance.random() < 0.3
        self._seats: dict[str, int | Seat] = {}
        self._away: set[str] = set()
        """Who left or declined their room."""
        self._out: set[str] = set()
        """Who left the main room."""
        self._typed: dict[str, str] = {}
        self._notes: dict[str, set[str]] = {}
        """The rooms that each broadcast went to."""
        self._ends = 0
        """How often the present rooms were closed."""
        self._responses: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._bot = ""

    async def gather(self, bot: str) -> None:
        """Make the main room, with everybody in it; the bot comes last and greets."""
        self._bot = bot
        first, *others = self._moderators
        powers = {bot: 100, **{user.user_id: 50 for user in others}}
        self.main = await first.create_room(self.name, powers=powers)
        for user in (*others, *self._people):
            await first.invite(self.main, user)
            await user.join(self.main)
        await first.invite(self.main, bot)
        await self._until(lambda: self._now_said("setup"), "the greeting")

    async def live(self, seconds: float) -> None:
        """Session after session; the last one is brought to its end."""
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                await self._session(until)
            await self._settled("over", self._left_over)
        except (Stuck, ValueError) as reason:
            self._tally.wrong.append(f"{self.name}: {reason}")
            return
        if touched := self._world.rooms[self.main].touched:
            self._tally.wrong.append(f"{self.name}: the bot changed {touched} of the main room")

    # ----------------------------------------------------------------------------------------- a session

    async def _session(self, until: float) -> None:
        self._typed.clear()
        mode = " choose" if self._chooses else ""
        if self._chance.random() < 0.2:
            await self._at_once(f"setup {ROOMS}{mode}", f"setup {ROOMS}{mode}")
        else:
            await self._types(f"setup {ROOMS}{mode}")
        self._seats = {}
        if not self._chooses:
            self._deal()
        self._notes, self._ends = {}, 0
        while True:
            await self._round()
            if time.monotonic() > until or self._chance.random() < 0.5:
                break
            if not self._chooses:  # rooms may have become empty, with which no round starts
                await self._types("shuffle")
                self._seats = {user.user_id: Seat.UNSURE for user in self._people}
        await self._deletes()
        self._tally.sessions += 1

    async def _round(self) -> None:
        while len(self._people) - len(self._out) < ROOMS:  # else rooms would be empty, and no start is possible
            await self._comes_back()
        start = self._chance.choice(("start", "start 30m"))
        await (self._at_once(start, start) if self._chance.random() < 0.2 else self._types(start))
        self._away.clear()
        if self._chooses:
            await asyncio.gather(*(self._chooses_one(user) for user in self._people if user.user_id not in self._out))
        else:
            self._deal()
        await self._until(lambda: len(self._rooms()) == ROOMS and not any(self._locked()), "open rooms")
        for _ in range(self._chance.randint(6, 14)):
            await self._think()
            await self._acts()
        since = time.monotonic()
        await self._settled("running", self._wrong_while_running)
        self._tally.settling.append(time.monotonic() - since)
        await self._ends_it()
        self._tally.rounds += 1

    async def _ends_it(self) -> None:
        match self._chance.randrange(3):
            case 0:
                await self._types("end now")
            case 1:
                await self._at_once("end now", "end now")
            case _:
                event = await self._types(f"timer {TIMER}s")
                await self._until(lambda: all(self._locked()), "the time limit")
                due = self._world.answered[event] + TIMER
                self._tally.late += [room.locked[-1] - due for room in self._rooms().values()]
                if (worst := max(self._tally.late[-ROOMS:])) > LATEST:
                    self._tally.wrong.append(f"{self.name}: a room closed {worst:.0f} s late")
        self._ends += 1
        await self._settled("ended", self._wrong_after_the_end)

    async def _deletes(self) -> None:
        rooms = self._rooms().values()
        await self._types("delete")
        await self._types("delete confirm")

        def wrong() -> Iterable[str]:
            for room in rooms:
                if present := _present(room) - {self._bot, *(user.user_id for user in self._moderators)}:
                    yield f"after the deletion {sorted(present)} are in room {room.number}"

        await self._settled("deleted", wrong)

    def _left_over(self) -> Iterable[str]:
        """Rooms that the bot has not left in the end; while others need the homeserver it is in no hurry to."""
        for room in self._world.of(self.main):
            if self._bot in _present(room):
                yield f"the bot is still in room {room.number}"

    # ---------------------------------------------------------------------------------------------- acts

    async def _acts(self) -> None:
        self._tally.acts += 1
        acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (3, self._moves),
            (2, self._contradict),
            (2, self._swaps),
            (2, self._broadcasts),
            (1, self._unassigns),
            (1, self._ends_and_takes_it_back),
            (1, self._looks),
            (2, self._leaves_the_room),
            (2, self._rejoins),
            (1, self._leaves_the_class),
            (2, self._comes_back),
            (1, self._asks_for_help),
        ]
        (act,) = self._chance.choices([act for _, act in acts], [weight for weight, _ in acts])
        # Somebody may be elsewhere than they were a moment ago.
        with suppress(MatrixError):
            await act()

    async def _moves(self) -> None:
        if user := self._somebody():
            to = self._chance.randint(1, ROOMS)
            self._away.discard(user.user_id)
            await self._types(f"move {_pill(user)} to {to}")
            self._sits(user, to)

    async def _contradict(self) -> None:
        if user := self._somebody():
            first, second = self._chance.sample(range(1, ROOMS + 1), 2)
            self._away.discard(user.user_id)
            events = await self._at_once(f"move {_pill(user)} to {first}", f"move {_pill(user)} to {second}")
            self._sits(user, first if self._world.order[events[0]] > self._world.order[events[1]] else second)

    async def _swaps(self) -> None:
        one, other = self._somebody(), self._somebody()
        if one is not None and other is not None and one is not other:
            seats = self._seat(one), self._seat(other)
            if seats[0] != seats[1]:  # else nobody moves, and nobody is invited again
                self._away -= {one.user_id, other.user_id}
            await self._types(f"swap {_pill(one)} {_pill(other)}")
            known = all(isinstance(seat, int) for seat in seats)
            for user, seat in zip((other, one), seats, strict=True):
                self._sits(user, seat if known else Seat.UNSURE)

    async def _broadcasts(self) -> None:
        text = f"Note {self._tally.broadcasts}"
        self._tally.broadcasts += 1
        await self._types(f"broadcast {text}")
        self._notes[text] = {room.id for room in self._rooms().values()}

    async def _unassigns(self) -> None:
        if user := self._somebody():
            self._away.discard(user.user_id)
            await self._types(f"unassign {_pill(user)}")
            self._sits(user, Seat.NOWHERE)

    async def _ends_and_takes_it_back(self) -> None:
        await self._at_once("end 5m", "end cancel")
        await self._types("end cancel")

    async def _looks(self) -> None:
        # Its answer is a new board, which is no reply.
        await self._moderators[0].say(self.main, "!breakout status")

    async def _leaves_the_room(self) -> None:
        if (user := self._somebody()) and (room := self._joined(user)):
            if self._seat(user) != self._rooms_by_id().get(room):
                self._seats[user.user_id] = Seat.UNSURE
            self._away.add(user.user_id)
            await user.leave(room)

    async def _rejoins(self) -> None:
        away = sorted(self._away - self._out)
        if away:
            user = self._user(self._chance.choice(away))
            await self._says(user, "rejoin")
            self._away.discard(user.user_id)
            if self._seat(user) is Seat.NOWHERE:
                self._seats[user.user_id] = Seat.UNSURE

    async def _leaves_the_class(self) -> None:
        if user := self._somebody():
            self._out.add(user.user_id)
            self._seats[user.user_id] = Seat.NOWHERE
            await user.leave(self.main)

    async def _comes_back(self) -> None:
        if self._out:
            user = self._user(self._chance.choice(sorted(self._out)))
            # Before its leaving was carried out, coming back may find the old seat or a new one.
            await self._moderators[0].invite(self.main, user)
            await user.join(self.main)
            self._out.discard(user.user_id)
            self._away.discard(user.user_id)
            self._seats[user.user_id] = Seat.UNSURE

    async def _asks_for_help(self) -> None:
        if (user := self._somebody()) and (room := self._joined(user)):
            await user.say(room, "!help we are stuck")

    # ------------------------------------------------------------------------------- what people do next

    def respond(self) -> None:
        """Let everybody who was invited to a room think about it, and go there, or decline."""
        users = {user.user_id: user for user in (*self._people, *self._moderators)}
        for room in self._world.of(self.main):
            for user_id, membership in room.members.items():
                task = self._responses.get((user_id, room.id))
                if membership == "invite" and user_id in users and (task is None or task.done()):
                    answer = self._answers_the_invite(users[user_id], room.id, room.number)
                    self._responses[user_id, room.id] = asyncio.create_task(answer)

    async def _answers_the_invite(self, user: RawUser, room: str, number: int) -> None:
        await asyncio.sleep(self._chance.uniform(0.5, 6))  # thinks; nobody could tell when that is over
        with suppress(MatrixError):
            if number and user in self._people and self._chance.random() < 0.1:
                await user.leave(room)
                self._away.add(user.user_id)
                if self._joined(user):
                    self._seats[user.user_id] = Seat.UNSURE
            else:
                await user.join(room)
                self._away.discard(user.user_id)
                if self._chooses and user in self._people and self._seat(user) != number:
                    self._seats[user.user_id] = Seat.UNSURE  # where the invite was withdrawn just then, it is a choice
        await self._told(user, room)

    async def _told(self, user: RawUser, room: str) -> None:
        """Wait until the world has heard of the answer, else it is given once more."""
        until = time.monotonic() + HEARD
        while self._world.rooms[room].members.get(user.user_id) == "invite" and time.monotonic() < until:
            with suppress(TimeoutError):
                await self._world.until(1.0, self._world.heard)
            self._world.look()

    async def stop(self) -> None:
        """Nobody thinks about an invitation any more."""
        for task in self._responses.values():
            task.cancel()
        await asyncio.gather(*self._responses.values(), return_exceptions=True)

    def _deal(self) -> None:
        for user in self._people:
            seat = self._seats.get(user.user_id)
            if user.user_id not in self._out and not isinstance(seat, int):
                self._seats[user.user_id] = Seat.ANY if seat in (None, Seat.ANY) else Seat.UNSURE

    async def _chooses_one(self, user: RawUser) -> None:
        if self._chance.random() < 0.8:
            number = self._chance.randint(1, ROOMS)
            await self._says(user, f"choose {number}")
            self._seats[user.user_id] = number

    # ---------------------------------------------------------------------------------------- what holds

    def _wrong_while_running(self) -> Iterable[str]:
        rooms = self._rooms()
        if set(rooms) != set(range(1, ROOMS + 1)):
            yield f"the rooms are {sorted(rooms)}"
        for number, room in rooms.items():
            if room.is_locked:
                yield f"room {number} is locked"
            if strangers := _present(room) - self._everybody():
                yield f"{sorted(strangers)} are in room {number}"
        for user in self._people:
            there = [number for number, room in rooms.items() if room.members.get(user.user_id) in PRESENT]
            seat = self._seat(user)
            if user.user_id in self._away:
                seat = Seat.NOWHERE if isinstance(seat, int) or seat is Seat.ANY else seat
            if not _fits(there, seat):
                yield f"{user.name} is in {there}, and should be {seat.value if isinstance(seat, Seat) else seat}"
        yield from self._said_once()

    def _wrong_after_the_end(self) -> Iterable[str]:
        people = {user.user_id for user in self._people}
        for number, room in self._rooms().items():
            if left := _present(room) & people:
                yield f"{sorted(left)} are in room {number} after its end"
            if not room.is_locked:
                yield f"room {number} is open after its end"
            if (times := sum(n for body, n in room.said.items() if body.startswith(CLOSED))) != self._ends:
                yield f"room {number} was told {times} times that it is closed, not {self._ends}"
        yield from self._said_once()

    def _said_once(self) -> Iterable[str]:
        for text, rooms in self._notes.items():
            for room in rooms:
                times = sum(n for body, n in self._world.rooms[room].said.items() if body.endswith(text))
                if times != 1:
                    yield f"“{text}” was said {times} times in {room}"
        for event, text in self._typed.items():
            if (times := self._world.answers[event]) != 1:
                yield f"“{text}” has {times} answers"

    async def _settled(self, when: str, wrong: Callable[[], Iterable[str]]) -> None:
        def is_right() -> bool:
            return all(task.done() for task in self._responses.values()) and not list(wrong())

        try:
            await self._until(is_right, when)
        except Stuck:
            raise Stuck(f"{when}: {'; '.join(wrong()) or 'people go on'}") from None

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            heard = self._world.heard
            self._world.look()
            self.respond()
            if holds():
                return
            if (left := until - time.monotonic()) <= 0:
                raise Stuck(f"{what} did not come")
            with suppress(TimeoutError):
                await self._world.until(min(left, 2.0), heard)

    # ------------------------------------------------------------------------------------------ by hand

    async def _types(self, command: str) -> str:
        (event,) = await self._all_type((self._chance.choice(self._moderators), command))
        return event

    async def _at_once(self, one: str, other: str) -> list[str]:
        return await self._all_type((self._moderators[0], one), (self._moderators[1], other))

    async def _all_type(self, *commands: tuple[RawUser, str]) -> list[str]:
        events = await asyncio.gather(*(self._say(user, command) for user, command in commands))
        sent = time.time()
        for event, (_, command) in zip(events, commands, strict=True):
            self._typed[event] = _plain(command)
        answered = self._world.answered
        await self._until(lambda: all(event in answered for event in events), f"an answer to “{commands[0][1]}”")
        self._tally.answers += [answered[event] - sent for event in events]
        return events

    async def _say(self, user: RawUser, command: str) -> str:
        return await user.say(self.main, f"!breakout {_plain(command)}", html=f"!breakout {command}")

    async def _says(self, user: RawUser, command: str) -> None:
        await user.say(self.main, f"!breakout {command}")

    async def _think(self) -> None:
        heard = self._world.heard
        until = time.monotonic() + self._chance.uniform(0.2, 1.8) * self._thinks
        while (left := until - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await self._world.until(left, heard)
            heard = self._world.heard
            self._world.look()
            self.respond()

    # ------------------------------------------------------------------------------------------- who, where

    def _sits(self, user: RawUser, seat: int | Seat) -> None:
        crossed = user.user_id in self._out
        self._seats[user.user_id] = Seat.UNSURE if crossed else seat

    def _seat(self, user: RawUser) -> int | Seat:
        return self._seats.get(user.user_id, Seat.NOWHERE)

    def _somebody(self) -> RawUser | None:
        there = [user for user in self._people if user.user_id not in self._out]
        return self._chance.choice(there) if there else None

    def _user(self, user_id: str) -> RawUser:
        return next(user for user in self._people if user.user_id == user_id)

    def _joined(self, user: RawUser) -> str | None:
        return next((r.id for r in self._rooms().values() if r.members.get(user.user_id) == "join"), None)

    def _rooms_by_id(self) -> dict[str, int]:
        return {room.id: number for number, room in self._rooms().items()}

    def _everybody(self) -> set[str]:
        return {self._bot, *(user.user_id for user in (*self._people, *self._moderators))}

    def _rooms(self) -> dict[int, RoomNow]:
        return self._world.breakout_rooms(self.main)

    def _locked(self) -> list[bool]:
        return [room.is_locked for room in self._rooms().values()]

    def _now_said(self, part: str) -> bool:
        room = self._world.rooms.get(self.main)
        return room is not None and any(part in body for body in room.said)


def _fits(there: list[int], seat: int | Seat) -> bool:
    match seat:
        case Seat.NOWHERE:
            return not there
        case Seat.ANY:
            return len(there) == 1
        case Seat.UNSURE:
            return len(there) <= 1
        case number:
            return there == [number]


def _present(room: RoomNow) -> set[str]:
    return {user for user, membership in room.members.items() if membership in PRESENT}


def _pill(user: RawUser) -> str:
    return pill(user.user_id, user.name)


def _plain(html: str) -> str:
    return re.sub("<[^>]*>", "", html)
