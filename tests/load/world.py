"""What the homeserver says of all classes at once, folded from one sync with the bot's own account."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from bot.testing.raw import RawUser, Seen
from plugins.breakout.domain.desired import DESK, MARKER

PRESENT = ("join", "invite")


@dataclass
class RoomNow:
    """A room as the sync left it. Moments are the homeserver's, in seconds since 1970."""

    id: str
    main: str = ""
    """The main room that its marker names; empty for a room without one."""
    number: int = DESK
    members: dict[str, str] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)
    """The bot's messages, edits left out."""
    locked: list[float] = field(default_factory=list)
    """When it was locked, each time."""
    is_locked: bool = False
    touched: list[str] = field(default_factory=list)
    """Which state, its own membership left out, the bot has changed here."""


class World:
    """Every room that the bot is or was in."""

    def __init__(self, spy: RawUser) -> None:
        self._spy = spy
        self._position = 0
        self.rooms: dict[str, RoomNow] = {}
        self._of: defaultdict[str, list[RoomNow]] = defaultdict(list)
        self.answers: Counter[str] = Counter()
        """How many messages of the bot reply to each event."""
        self.answered: dict[str, float] = {}
        """When the first of them was sent."""
        self.order: dict[str, int] = {}
        """At which place of the sync each event came; within one room that is the bot's order too."""
        self.memberships = 0
        self.doubled: dict[str, float] = {}
        """How long each user was joined to two breakout rooms of one main room at most, in seconds."""
        self._double_since: dict[tuple[str, str], float] = {}
        self._in: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    @property
    def heard(self) -> int:
        """A position for `until`."""
        return self._spy.heard

    async def until(self, seconds: float, after: int) -> None:
        """Wait for anything new, at most so long; raises `TimeoutError`."""
        await self._spy.wait_for(lambda seen: True, seconds, after=after)

    def look(self) -> None:
        """Take in what came since the last look."""
        while self._position < self._spy.heard:
            self._take(self._spy.transcript[self._position])
            self._position += 1

    def of(self, main: str) -> list[RoomNow]:
        """The rooms of a main room, the desk and those of former sessions too."""
        return self._of[main]

    def breakout_rooms(self, main: str) -> dict[int, RoomNow]:
        """The rooms of a main room that the bot is in, by number, the desk left out; twins raise `ValueError`."""
        found: dict[int, RoomNow] = {}
        for room in self._of[main]:
            if room.number != DESK and room.members.get(self._spy.user_id) == "join":
                if room.number in found:
                    raise ValueError(f"room {room.number} is there twice: {room.id}, {found[room.number].id}")
                found[room.number] = room
        return found

    def _take(self, seen: Seen) -> None:
        room = self.rooms.setdefault(seen.room, RoomNow(seen.room))
        if seen.event_id:
            self.order.setdefault(seen.event_id, self._position)
        at = seen.event.get("origin_server_ts", 0) / 1000
        ours = seen.sender == self._spy.user_id
        match seen.type:
            case "m.room.member":
                self._member(room, str(seen.state_key), str(seen.content.get("membership")), at)
            case "m.room.message" if ours:
                self._message(room, seen, at)
            case "m.room.power_levels":
                locked = seen.content.get("events_default", 0) >= 50
                if locked and not room.is_locked:
                    room.locked.append(at)
                room.is_locked = locked
            case str(type_) if type_ == MARKER and ours:
                if not room.main:
                    self._of[str(seen.content["main"])].append(room)
                room.main, room.number = str(seen.content["main"]), int(seen.content["room"])
        if ours and seen.state_key is not None and seen.state_key != self._spy.user_id:
            room.touched.append(seen.type)

    def _message(self, room: RoomNow, seen: Seen, at: float) -> None:
        relation = seen.content.get("m.relates_to", {})
        if relation.get("rel_type") == "m.replace":
            return
        room.said[seen.body] += 1
        if replied := relation.get("m.in_reply_to", {}).get("event_id"):
            self.answers[replied] += 1
            self.answered.setdefault(replied, at)

    def _member(self, room: RoomNow, user: str, membership: str, at: float) -> None:
        self.memberships += room.members.get(user) != membership
        room.members[user] = membership
        if room.main and room.number != DESK:
            key = (user, room.main)
            (self._in[key].add if membership == "join" else self._in[key].discard)(room.id)
            if len(self._in[key]) > 1:
                self._double_since.setdefault(key, at)
            elif key in self._double_since:
                lasted = at - self._double_since.pop(key)
                self.doubled[user] = max(self.doubled.get(user, 0.0), lasted)
