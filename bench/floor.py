"""The floor: the least requests that bring a homeserver to where our bot brings it, sent raw, so many in flight.

It knows beforehand all that the bot has to find out, keeps no store and never fails; no bot can be faster for long.
It begins when the moderator's command is in the main room, which whoever measures it types.
No room has more than one of them in flight, since a homeserver works on one event a room at a time.
What it leaves at the homeserver is the same: rooms with marker, power levels, join rules and invites, the desk, each
message and each reaction, the boards as they read in the end (posted once instead of edited), the account data.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import uuid4

from bench.ground import Hall
from bot.testing.raw import Json, RawUser, path
from plugins.breakout.announce import FEW_INVITES
from plugins.breakout.domain.desired import MARKER, Options, power_levels, restricted_to
from plugins.breakout.domain.plan import MOST_AT_CREATION

ACCOUNT_DATA = "org.breakoutbot.sessions"
WELCOME = (
    "Welcome to Room 1.\n\nHere are {people}.\n\nNeed a moderator? Tap 🙋 or type !help.\n\n"
    "Moderators can enter and read. At the end everybody goes back to Conference."
)
NEWCOMERS = "{people} have come: welcome to Room 1.\n\nNeed a moderator? Type !help. Moderators can enter and read."
INVITE = "Breakout room of Conference"
REMOVE = "The breakout room is closed. You are still in Conference."


@dataclass
class Group:
    """One breakout room and its people."""

    name: str
    people: list[str]
    room: str = ""


@dataclass
class Floor:
    """Plays one main room after another; `width` requests in flight at most."""

    account: RawUser
    width: int
    requests: Counter[str] = field(default_factory=Counter)
    """What was sent so far, by kind."""
    groups: list[Group] = field(default_factory=list)
    desk: str = ""
    gate: asyncio.Semaphore | None = None
    """That of several floors which share their width."""

    def __post_init__(self) -> None:
        self._gate = self.gate or asyncio.Semaphore(self.width)

    # ------------------------------------------------------------------------------------- the operations

    async def setup(self, hall: Hall) -> None:
        """The desk and the plan."""
        people = [user.user_id for user in hall.people]
        count = hall.size.rooms
        self.groups = [Group(f"Room {n + 1} · {hall.watch.name}", people[n::count]) for n in range(count)]
        await self._say(hall.main, "The breakout rooms are planned.")
        self.desk = await self._create(hall, f"Moderators of {hall.watch.name}", 0, [hall.moderator.user_id])
        await asyncio.gather(self._boards(hall), self._say(self.desk, "This is the desk. " * 10), self._record(hall))

    async def start(self, hall: Hall) -> None:
        """Rooms, invites, welcomes."""
        await self._say(hall.main, "The breakout rooms are opening.")
        await asyncio.gather(*(self._begin(hall, number, group) for number, group in enumerate(self.groups, 1)))
        await asyncio.gather(self._started(hall), self._progress())

    async def prepare(self, hall: Hall) -> None:
        """Locked rooms, in each of which it is said that it opens later, and everybody invited."""
        await self._say(hall.main, "The rooms are being prepared.")
        await asyncio.gather(*(self._keep(hall, number, group) for number, group in enumerate(self.groups, 1)))
        told = self._say(hall.main, "The rooms are prepared: everybody is invited.")
        await asyncio.gather(told, self._progress(), self._boards(hall, new=False), self._record(hall))

    async def start_prepared(self, hall: Hall) -> None:
        """Rooms are unlocked, and welcomes said."""
        await self._say(hall.main, "The breakout rooms are opening.")
        await asyncio.gather(*(self._unlock(hall, group) for group in self.groups))
        await self._started(hall)

    async def start_again(self, hall: Hall) -> None:
        """The same rooms once more."""
        await self._say(hall.main, "The breakout rooms are opening.")
        await asyncio.gather(*(self._open_again(hall, group) for group in self.groups))
        await asyncio.gather(self._started(hall), self._progress())

    async def broadcast(self, hall: Hall) -> None:
        """One text for each room, and the receipt."""
        await asyncio.gather(*(self._say(group.room, "Mia: Hello everybody") for group in self.groups))
        await self._say(hall.main, f"Said in {len(self.groups)} rooms.")

    async def move(self, hall: Hall) -> None:
        """Everybody goes one room on; the removal is a matter of who has come, and the caller's people come at once."""
        await self._say(hall.main, "Everybody moves.")
        targets = [*self.groups[1:], self.groups[0]]
        await asyncio.gather(*(self._move(old, new) for old, new in zip(self.groups, targets, strict=True)))
        people = [group.people for group in self.groups]
        for group, newcomers in zip(targets, people, strict=True):
            group.people = newcomers
        await self._boards(hall, new=False)

    async def end(self, hall: Hall) -> None:
        """Rooms are locked, then told, then emptied."""
        await self._say(hall.main, "The rooms are closing now.")
        await asyncio.gather(
            *(self._close(hall, group) for group in self.groups),
            self._say(hall.main, "The rooms are closing; everybody is back here."),
            self._boards(hall),
            self._record(hall),
        )

    async def end_kept(self, hall: Hall) -> None:
        """Rooms are locked, then told; everybody stays and reads."""
        await self._say(hall.main, "The rooms are closing now.")
        await asyncio.gather(
            *(self._close(hall, group, remove=False) for group in self.groups),
            self._say(hall.main, "The rooms are closing; everybody is back here."),
            self._boards(hall),
            self._record(hall),
        )

    async def delete_kept(self, hall: Hall) -> None:
        """Everybody is taken out, then the bot leaves."""
        await asyncio.gather(*(self._empty(group) for group in self.groups))
        await self.delete(hall)

    async def delete(self, hall: Hall) -> None:
        """The bot leaves all rooms, the desk too."""
        question = await self._say(hall.main, "Delete the rooms and the desk?")
        await self._react(hall.main, question, "✅")
        await self._say(hall.main, "The breakout rooms and the desk are being deleted.")
        await self._kick(self.desk, hall.moderator.user_id)
        await asyncio.gather(*(self._leave(room) for room in (self.desk, *(group.room for group in self.groups))))
        await self._record(hall)

    # -------------------------------------------------------------------------------------------- rooms

    async def _keep(self, hall: Hall, number: int, group: Group) -> None:
        await self._make(hall, number, group)
        await self._say(group.room, "This room opens when the moderator starts.")

    async def _begin(self, hall: Hall, number: int, group: Group) -> None:
        await self._make(hall, number, group, locked=False)
        await self._welcome(group)

    async def _make(self, hall: Hall, number: int, group: Group, *, locked: bool = True) -> None:
        first, others = group.people[:MOST_AT_CREATION], group.people[MOST_AT_CREATION:]
        group.room = await self._create(hall, group.name, number, first, locked=locked)
        for user in others:
            await self._invite(group.room, user)

    async def _unlock(self, hall: Hall, group: Group) -> None:
        await self._lock(hall, group.room, locked=False)
        await self._welcome(group)

    async def _open_again(self, hall: Hall, group: Group) -> None:
        await self._lock(hall, group.room, locked=False)
        for user in group.people:
            await self._invite(group.room, user)
        await self._welcome(group)

    async def _close(self, hall: Hall, group: Group, *, remove: bool = True) -> None:
        await self._lock(hall, group.room, locked=True)
        await self._say(group.room, "This room is closed. Go back to Conference.")
        if remove:
            await self._empty(group)

    async def _empty(self, group: Group) -> None:
        for user in group.people:
            await self._kick(group.room, user)

    async def _welcome(self, group: Group) -> None:
        welcome = await self._say(group.room, WELCOME.format(people=", ".join(group.people)))
        await self._react(group.room, welcome, "🙋")

    async def _started(self, hall: Hall) -> None:
        names = "\n".join(f"- {group.name}" for group in self.groups)
        started = await self._say(hall.main, f"Breakout rooms are open. Open the invitation and accept.\n{names}")
        await asyncio.gather(self._react(hall.main, started, "🔁"), self._boards(hall), self._record(hall))

    async def _progress(self) -> None:
        """What a start that takes a while says of itself at the desk, as it reads in the end."""
        if (people := sum(len(group.people) for group in self.groups)) >= FEW_INVITES:
            await self._say(self.desk, f"{people} of {people} are invited.")

    async def _move(self, old: Group, new: Group) -> None:
        for user in old.people:
            await self._invite(new.room, user)
        await self._say(old.room, f"{', '.join(old.people)}: please go to {new.name}.")
        await self._say(new.room, NEWCOMERS.format(people=", ".join(old.people)))
        for user in old.people:
            await self._kick(old.room, user)

    async def _create(self, hall: Hall, name: str, number: int, invite: Sequence[str], *, locked: bool = False) -> str:
        desk = self.desk if number else None
        state = {
            "m.room.join_rules": restricted_to(desk),
            "m.room.history_visibility": {"history_visibility": "invited"},
            "m.room.guest_access": {"guest_access": "forbidden"},
            MARKER: {"main": hall.main, "session": uuid4().hex, "room": number, "key": uuid4().hex},
        }
        body: Json = {
            "preset": "private_chat",
            "room_version": "11",
            "name": name,
            "topic": "Breakout room of Conference. Type !help if you need a moderator.",
            "power_level_content_override": self._power(hall, locked=locked),
            "initial_state": [{"type": type_, "state_key": "", "content": dict(it)} for type_, it in state.items()],
            "invite": list(invite),
        }
        answer = await self._call("create_room", "PUT", path("createRoom", uuid4().hex), body)
        return str(answer["room_id"])

    async def _lock(self, hall: Hall, room: str, *, locked: bool) -> None:
        where = path("rooms", room, "state", "m.room.power_levels", "")
        await self._call("state:m.room.power_levels", "PUT", where, self._power(hall, locked=locked))

    def _power(self, hall: Hall, *, locked: bool) -> dict[str, Any]:
        return dict(power_levels(self.account.user_id, [hall.moderator.user_id], Options(), locked=locked))

    async def _leave(self, room: str) -> None:
        await self._call("leave", "POST", path("rooms", room, "leave"), {})
        await self._call("forget", "POST", path("rooms", room, "forget"), {})

    # ------------------------------------------------------------------------------- people and messages

    async def _invite(self, room: str, user: str) -> None:
        await self._call("invite", "POST", path("rooms", room, "invite"), {"user_id": user, "reason": INVITE})

    async def _kick(self, room: str, user: str) -> None:
        await self._call("kick", "POST", path("rooms", room, "kick"), {"user_id": user, "reason": REMOVE})

    async def _boards(self, hall: Hall, *, new: bool = True) -> None:
        """The board in the main room and the one at the desk, with its control; not a `new` one is an edit."""
        lines = "\n".join(f"- {group.name}: {len(group.people)}" for group in self.groups)
        _, board = await asyncio.gather(self._say(hall.main, lines), self._say(self.desk, lines))
        if new:
            await self._react(self.desk, board, "⏹")

    async def _record(self, hall: Hall) -> None:
        where = path("user", self.account.user_id, "account_data", ACCOUNT_DATA)
        rooms = {group.name: group.room for group in self.groups}
        await self._call("account_data_put", "PUT", where, {"sessions": {hall.main: {"rooms": rooms}}})

    async def _say(self, room: str, text: str) -> str:
        html = text.replace("\n", "<br>")
        content = {
            "msgtype": "m.text",
            "body": text,
            "format": "org.matrix.custom.html",
            "formatted_body": f"<p>{html}</p>",
            "m.mentions": {},
        }
        return await self._send(room, "m.room.message", content)

    async def _react(self, room: str, event: str, emoji: str) -> None:
        relation = {"rel_type": "m.annotation", "event_id": event, "key": emoji}
        await self._send(room, "m.reaction", {"m.relates_to": relation})

    async def _send(self, room: str, type_: str, content: Json) -> str:
        kind = "send_reaction" if type_ == "m.reaction" else "send_message"
        where = path("rooms", room, "send", type_, uuid4().hex)
        return str((await self._call(kind, "PUT", where, content))["event_id"])

    async def _call(self, kind: str, method: str, where: str, body: Mapping[str, Any]) -> Any:
        async with self._gate:
            self.requests[kind] += 1
            return await self.account.call(method, where, dict(body))


Act: TypeAlias = Callable[[Floor, Hall], Awaitable[None]]
"""An operation of the floor."""
