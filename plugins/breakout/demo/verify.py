"""Compares what the homeserver has with what should be there, one sentence a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from plugins.breakout.demo.play import BROADCAST, CLASS, CLOSED, CLOSES, DECLINES, LEFT, MOVES, TASK, TEAMS, Record
from plugins.breakout.demo.reader import RoomSeen
from plugins.breakout.demo.stage import LATE, MODERATORS, PARTICIPANTS, Stage

MODERATOR = 50
"""From this level on one moderates."""

ON_ITS_WAY = 1.0
"""Seconds: what is sealed when somebody is asked in, and arrives after that, they cannot read, whoever sends it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; `wrong` says what differs, and is empty where nothing does."""

    said: str
    wrong: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.wrong


def verify(record: Record, stage: Stage) -> list[Check]:
    """Every comparison, in the order of the session."""
    checks = _Checks(record, stage)
    return [
        Check(said, tuple(wrong))
        for said, wrong in (
            *checks.while_running(),
            *checks.after_the_end(),
            *checks.after_the_deletion(),
            *(checks.of_secrecy() if stage.encrypted else ()),
        )
    ]


Result = tuple[str, Iterable[str]]


class _Checks:
    def __init__(self, record: Record, stage: Stage) -> None:
        self._record = record
        self._bot = stage.bot_id
        self._killed = stage.bot.kills > 0
        self._ids = {name: user.user_id for name, user in stage.people.items()}
        self._names = stage.names
        self._people = stage.people
        self._moderators = {self._ids[name] for name in MODERATORS}

    # ------------------------------------------------------------------------------------ while it ran

    def while_running(self) -> Iterator[Result]:
        rooms = self._teams(self._record.running)
        yield "Running: each team has one room, and no room was made twice", self._one_room_each(self._record.running)
        yield "Running: everybody is in one room, only who declined is in none", self._seated(rooms)
        yield f"Running: {MOVES} is in the new room only", self._is_in(rooms, MOVES)
        yield f"Running: {LATE}, who came late, has a room", self._is_in(rooms, LATE)
        yield "Running: each room was welcomed once, and has its task", self._once(rooms, "Welcome to", TASK)
        yield "Running: nobody was invited twice to one seat", self._invites(rooms)
        yield "Running: the bot has level 100, moderators 50, everybody else 0", self._powers(rooms)
        yield "Running: rooms are open to the desk only, and to who is invited", self._doors(rooms)

    def _one_room_each(self, seen: list[RoomSeen]) -> Iterator[str]:
        names = Counter(room.name for room in seen if room.id not in (self._record.main, self._record.desk))
        for team in TEAMS:
            if (count := names.pop(f"{team} · {CLASS}", 0)) != 1:
                yield f"{team} has {count} rooms"
        for name, count in names.items():
            yield f"{count} unexpected room “{name}”"

    def _seated(self, rooms: Mapping[str, RoomSeen]) -> Iterator[str]:
        for name in PARTICIPANTS:
            among = [team for team, room in rooms.items() if room.members.get(self._ids[name]) == "join"]
            expected = [] if name == DECLINES else [self._record.seats.get(name, "?")]
            if among != expected:
                yield f"{name} is in {among or 'no room'} and not in {expected or 'none'}"

    def _is_in(self, rooms: Mapping[str, RoomSeen], name: str) -> Iterator[str]:
        among = [team for team, room in rooms.items() if room.members.get(self._ids[name]) in ("join", "invite")]
        if among != [self._record.seats.get(name)]:
            yield f"{name} is in {among}"

    def _invites(self, rooms: Mapping[str, RoomSeen]) -> Iterator[str]:
        for team, room in rooms.items():
            for user, count in room.invites().items():
                if count > 1:
                    yield f"{self._names.get(user, user)} was invited to {team} {count} times"

    def _powers(self, rooms: Mapping[str, RoomSeen]) -> Iterator[str]:
        for team, room in rooms.items():
            users = {user: level for user, level in room.powers.get("users", {}).items() if level}
            creators = {event["sender"] for event in room.events if event["type"] == "m.room.create"}
            expected = {**dict.fromkeys(self._moderators, MODERATOR), self._bot: 100}
            if {**users, **dict.fromkeys(creators, 100)} != expected or room.powers.get("users_default", 0) != 0:
                yield f"{team} has {users}"

    def _doors(self, rooms: Mapping[str, RoomSeen]) -> Iterator[str]:
        for team, room in rooms.items():
            allowed = {entry.get("room_id") for entry in room.join_rules.get("allow", [])}
            if room.join_rules.get("join_rule") != "restricted" or allowed != {self._record.desk}:
                yield f"{team} has {room.join_rules}"

    # ------------------------------------------------------------------------------------ after the end

    def after_the_end(self) -> Iterator[Result]:
        rooms = self._teams(self._record.ended)
        main = _by_id(self._record.ended, self._record.main)
        yield "Ended: the broadcast stands in each room, once", self._once(rooms, BROADCAST)
        yield "Ended: the warning came in each room, once", self._timely(rooms, LEFT)
        yield "Ended: the closing notice came in each room, once", self._timely(rooms, CLOSES)
        yield "Ended: the closing message stands in each room, once", self._once(rooms, CLOSED)
        yield "Ended: nobody but moderators is in a breakout room, nobody is invited", self._empty(rooms)
        yield "Ended: every breakout room is locked", self._locked(rooms)
        yield "Ended: everybody is in the main room, and was told so once", self._back(main)

    def _once(self, rooms: Mapping[str, RoomSeen], *parts: str) -> Iterator[str]:
        for team, room in rooms.items():
            if (count := len(room.said(self._bot, *parts))) != 1:
                yield f"{team} has it {count} times"

    def _timely(self, rooms: Mapping[str, RoomSeen], part: str) -> Iterator[str]:
        """As `_once`; what was due while the bot was down is rightly skipped, and then in all rooms."""
        if not self._killed or any(room.said(self._bot, part) for room in rooms.values()):
            yield from self._once(rooms, part)

    def _empty(self, rooms: Mapping[str, RoomSeen]) -> Iterator[str]:
        for team, room in rooms.items():
            for user in (room.who("join") | room.who("invite")) - self._moderators - {self._bot}:
                yield f"{self._names.get(user, user)} in {team}: {room.members[user]}"

    def _locked(self, rooms: Mapping[str, RoomSeen]) -> Iterator[str]:
        for team, room in rooms.items():
            if room.powers.get("events_default", 0) < MODERATOR:
                yield f"{team} takes messages of everybody"

    def _back(self, main: RoomSeen) -> Iterator[str]:
        for user in {*self._ids.values(), self._bot} - main.who():
            yield f"{self._names[user]} is not in the main room"
        if (count := len(main.said(self._bot, "everybody is back here"))) != 1:
            yield f"the message came {count} times"

    # --------------------------------------------------------------------------------- after the deletion

    def after_the_deletion(self) -> Iterator[Result]:
        main = _by_id(self._record.deleted, self._record.main)
        before = _by_id(self._record.before, self._record.main)
        yield "Deleted: breakout rooms and desk are empty, the bot has left them too", self._deserted()
        yield "Deleted: name, power levels and members of the main room are as before", self._same(before, main)
        yield f"Every command of Mia was answered once ({len(self._record.typed)} commands)", self._answered(main)

    # ------------------------------------------------------------------------------------------ secrecy

    def of_secrecy(self) -> Iterator[Result]:
        yield "Encrypted: nothing was said in clear, in no room", self._in_clear()
        yield "Encrypted: everybody could read all that was said while they were there", self._unreadable()

    def _in_clear(self) -> Iterator[str]:
        for room in self._record.deleted:
            if clear := room.in_clear():
                yield f"{len(clear)} messages in “{room.name}”"

    def _unreadable(self) -> Iterator[str]:
        rooms = {room.id: room for room in self._record.deleted}
        for name, user in self._people.items():
            for seen in user.unreadable():
                room = rooms[seen.room]
                if (after := (seen.event["origin_server_ts"] - room.since(user.user_id)) / 1000) >= ON_ITS_WAY:
                    sender = self._names.get(seen.sender, seen.sender)
                    yield f"{name} cannot read what {sender} said in “{room.name}” {after:.1f} s after the invitation"

    def _deserted(self) -> Iterator[str]:
        for room in self._record.deleted:
            if room.id != self._record.main:
                for user in room.who("join") | room.who("invite"):
                    yield f"{self._names.get(user, user)} in “{room.name}”: {room.members[user]}"

    def _same(self, before: RoomSeen, main: RoomSeen) -> Iterator[str]:
        if main.name != before.name:
            yield f"the name is “{main.name}”"
        if main.powers != before.powers:
            yield f"the levels are {main.powers}"
        if main.who() != before.who() | {self._ids[LATE]}:
            yield f"the members are {sorted(main.who())}"

    def _answered(self, main: RoomSeen) -> Iterator[str]:
        answers = main.answers(self._bot)
        for typed in self._record.typed:
            if answers[typed.event] != 1:
                yield f"“{typed.text}” has {answers[typed.event]} answers"

    def _teams(self, seen: list[RoomSeen]) -> dict[str, RoomSeen]:
        return {team: _by_id(seen, room) for team, room in sorted(self._record.rooms.items())}


def _by_id(rooms: list[RoomSeen], room: str) -> RoomSeen:
    return next(seen for seen in rooms if seen.id == room)
