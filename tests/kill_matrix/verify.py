"""Says what is wrong at the homeserver: while the rooms are open, after their end, and after their deletion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from plugins.breakout.demo.reader import RoomSeen
from plugins.breakout.demo.stage import CLOSING_NOTICE, WARNING, Stage
from tests.kill_matrix.story import (
    BACK,
    BROADCAST,
    CLASS,
    CLOSED,
    CLOSES,
    COMING,
    HELP_CLOSED,
    KICKED,
    LATE,
    LEFT,
    MODERATORS,
    PROMOTED,
    QUESTION,
    TEAMS,
    TOLD,
    Record,
)
from tests.kill_matrix.victim import Down

TWICE = (CLOSED, BACK, "Breakout rooms are ", "Welcome to", "close at", "closes at")
"""What is rightly said twice in a session that is started twice, and whose end is moved by what has passed of it."""

LATEST = 3.0
"""Seconds that an end may come late on a busy machine, besides the time that the bot was away."""


def wrong(when: str, record: Record, stage: Stage, rooms: list[RoomSeen]) -> list[str]:
    """What is not yet as it should be, and is to become so."""
    look = _Look(record, stage, rooms)
    match when:
        case "running":
            found = look.seated()
        case "ended":
            found = look.seated(empty=True)
        case _:
            found = look.deserted()
    return [f"{when}: {what}" for what in found]


def wrong_for_good(record: Record, stage: Stage, downs: Iterable[Down], seconds: float = 0.0) -> list[str]:
    """What nothing can mend any more, in a whole session; `seconds` that faults may have cost."""
    look = _Look(record, stage, record.deleted)
    return [
        *look.one_room_each(),
        *look.invited_once(),
        *look.said_once(),
        *look.answered_once(),
        *look.in_time(list(downs), seconds),
        *look.main_untouched(),
    ]


class _Look:
    def __init__(self, record: Record, stage: Stage, rooms: list[RoomSeen]) -> None:
        self._record, self._bot, self._names = record, stage.bot_id, stage.names
        self._ids = {name: user.user_id for name, user in stage.people.items()}
        self._rooms = {room.id: room for room in rooms}
        self._teams = {team: self._rooms[room] for team, room in record.rooms.items() if room in self._rooms}
        self._main = self._rooms[record.main]
        self._acts = record.acts
        self._moderators = (*MODERATORS, *((PROMOTED,) if "promote" in record.acts else ()))

    def seated(self, *, empty: bool = False) -> Iterator[str]:
        """Everybody but moderators is where they should be, and nowhere else; rooms are locked where `empty`."""
        for name, user in self._ids.items():
            there = [team for team, room in self._teams.items() if room.members.get(user) in ("join", "invite")]
            should = [] if empty or name not in self._record.seats else [self._record.seats[name]]
            if name not in self._moderators and there != should:
                yield f"{name} is in {there}, not in {should}"
        for team, room in self._teams.items():
            levels = {user: level for user, level in room.powers.get("users", {}).items() if level}
            expected = {self._ids[name]: 50 for name in self._moderators}
            if {user: level for user, level in levels.items() if user != self._bot} != expected:
                yield f"{team} has the levels {levels}"
            if (room.powers.get("events_default", 0) >= 50) is not empty:
                yield f"{team} is {'open' if empty else 'locked'}"

    def deserted(self) -> Iterator[str]:
        """Nobody is in any room but the main one."""
        for room in self._rooms.values():
            for user in room.who("join") | room.who("invite"):
                if room.id != self._record.main:
                    yield f"{self._names.get(user, user)} is in “{room.name}” ({room.members[user]})"

    def one_room_each(self) -> Iterator[str]:
        expected = Counter([CLASS, f"Moderators of {CLASS}", *(f"{team} · {CLASS}" for team in TEAMS)])
        if (found := Counter(map(_named, self._rooms.values()))) != expected:
            yield f"the rooms are {dict(found)}"

    def invited_once(self) -> Iterator[str]:
        for team, room in self._teams.items():
            found = {name: room.invites()[user] for name, user in self._ids.items() if room.invites()[user]}
            expected = {name: n for (name, where), n in self._record.invitations.items() if where == team}
            if found != expected:
                yield f"invited to {team}: {found}, not {expected}"
        desk = self._rooms.get(self._record.desk)
        if desk is not None and any(count > 1 for count in desk.invites().values()):
            yield f"invited to the desk: {dict(desk.invites())}"

    def said_once(self) -> Iterator[str]:
        ends = ("end" in self._acts) + ("again" in self._acts)
        for team, room in self._teams.items():
            for words, times in ((BROADCAST, 1), (TOLD, int(team == TEAMS[0])), (CLOSED, ends)):
                if (count := len(room.said(self._bot, words))) != times:
                    yield f"“{words}” {count} times in {team}, not {times}"
        coming = sum(len(room.said(self._bot, COMING)) for room in self._teams.values())
        desk = self._rooms[self._record.desk]
        for words, count, times in (
            (COMING, coming, 1),
            (QUESTION, len(desk.said(self._bot, QUESTION)), 1),
            (HELP_CLOSED, len(desk.said(self._bot, HELP_CLOSED)), 1),
            (BACK, len(self._main.said(self._bot, BACK)), ends),
        ):
            if count != times:
                yield f"“{words}” {count} times, not {times}"
        for room in self._rooms.values():
            for body, count in Counter(event["content"].get("body", "") for event in room.said(self._bot)).items():
                if count > (2 if any(words in body for words in TWICE) else 1):
                    yield f"“{body}” {count} times in “{_named(room)}”"

    def answered_once(self) -> Iterator[str]:
        answers = self._main.answers(self._bot)
        for typed in self._record.typed:
            if answers[typed.event] != 1:
                yield f"“{typed.text}” has {answers[typed.event]} answers"

    def in_time(self, downs: list[Down], seconds: float) -> Iterator[str]:
        """Rooms end when they should; a warning is left out only where nobody was there to give it, and then by all."""
        if self._record.ends is None:
            return
        first, last = self._record.ends
        for words, before in ((LEFT, WARNING), (CLOSES, CLOSING_NOTICE)):
            due = (first - before - 1, last - before + LATEST)
            away = seconds > 0 or any(down.since < due[1] and down.until > due[0] for down in downs)
            counts = {team: len(room.said(self._bot, words)) for team, room in self._teams.items()}
            if set(counts.values()) != {1} and not (away and set(counts.values()) == {0}):
                yield f"“{words}”: {counts}, away: {away}"
        back = max((down.until for down in downs if down.since < last + LATEST and down.until > first), default=0.0)
        for team, room in self._teams.items():
            closed = [event["origin_server_ts"] / 1000 for event in room.said(self._bot, CLOSED)[:1]]
            if not all(first - 1 <= at <= max(last, back) + LATEST + seconds for at in closed):
                yield f"{team} closed {[at - last for at in closed]} s after its end"

    def main_untouched(self) -> Iterator[str]:
        before = self._record.before
        assert before is not None
        promoted = {self._ids[PROMOTED]: 50} if "promote" in self._acts else {}
        expected = {**before.powers, "users": {**before.powers["users"], **promoted}}
        if (self._main.name, self._main.powers, self._main.join_rules) != (before.name, expected, before.join_rules):
            yield f"the main room is {self._main.name}, {self._main.powers}, {self._main.join_rules}"
        late = {self._ids[LATE]} if "late" in self._acts else set()
        if self._main.who() != (before.who() | late) - {self._ids[KICKED]}:
            yield f"in the main room are {sorted(self._main.who())}"
        touched = [
            event["type"]
            for event in self._main.events
            if event["sender"] == self._bot and "state_key" in event and event["state_key"] != self._bot
        ]
        if touched:
            yield f"the bot changed {touched} of the main room"


def _named(room: RoomSeen) -> str:
    """What a room is called, also where nobody is in it any more."""
    names = [event["content"].get("name") for event in room.events if event["type"] == "m.room.name"]
    return str(names[-1]) if names else ""
