"""A homeserver in memory: the same laws as the real one, as far as `tests/contract` proves them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from bot.clock import Clock, to_ms
from bot.errors import MatrixError, Outdated, Permanent, Temporary
from bot.matrix.edits import can_be_edited, edited
from bot.matrix.events import Content, RawEvent, RoomDelta, SyncBatch
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.ports import Blueprint, Pace, Urgency, Wanted
from bot.matrix.power import Power

T = TypeVar("T")

MOST_INVITES_AT_CREATION = 10

_COPIED_BY_UPGRADE = (
    "m.room.join_rules",
    "m.room.topic",
    "m.room.avatar",
    "m.room.encryption",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.server_acl",
)


@dataclass(slots=True)
class Fault:
    """The next `times` calls of `verb` fail with `error`, before or after they acted."""

    verb: str
    error: MatrixError
    times: int = 1
    after_acting: bool = False
    when: Callable[..., bool] = lambda *_args: True


@dataclass(slots=True)
class FakeRoom:
    """One room: its events in order, its state."""

    id: RoomId
    version: str
    creator: UserId
    events: list[dict[str, Any]] = field(default_factory=list)
    state: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def content(self, type_: str, key: str = "") -> Content:
        """The content of a state event; empty where there is none."""
        event = self.state.get((type_, key))
        return event["content"] if event else {}

    def membership(self, user: str) -> str:
        """`leave` for somebody who was never there."""
        return str(self.content("m.room.member", user).get("membership", "leave"))

    @property
    def members(self) -> dict[str, str]:
        """Each person's membership."""
        return {key: self.membership(key) for (type_, key) in self.state if type_ == "m.room.member"}

    @property
    def joined(self) -> set[str]:
        """Who is in it."""
        return {user for user, membership in self.members.items() if membership == "join"}

    @property
    def power(self) -> Power:
        """Who may do what."""
        levels = self.state.get(("m.room.power_levels", ""))
        return Power.of(levels["content"] if levels else None, self.content("m.room.create"), self.creator)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, oldest first, as their events."""
        return [event for event in self.events if event["type"] == "m.room.message"]


class FakeServer:
    """Rooms and their laws; `FakeHomeserver` is the bot's account on it, `FakeUser` everybody else's."""

    def __init__(self, clock: Clock, name: str = "test", version: str = "12") -> None:
        self.clock, self.name, self.version = clock, name, version
        self.rooms: dict[RoomId, FakeRoom] = {}
        self.stream: list[tuple[RoomId, dict[str, Any]]] = []
        self.late: set[int] = set()
        """Where in the stream an earlier event stands once more, readable now."""
        self.names: dict[str, str] = {}
        self.blocking: set[str] = set()
        """Who refuses every invite."""
        self.admins: set[str] = set()
        """Who may have others join."""
        self.news = asyncio.Event()
        self._numbers = count(1)
        self._sent: dict[tuple[str, str, str], EventId] = {}

    def user(self, localpart: str, display_name: str | None = None) -> FakeUser:
        """Somebody's account."""
        user = UserId(f"@{localpart}:{self.name}")
        self.names[user] = display_name or localpart.capitalize()
        return FakeUser(self, user)

    def room(self, room: str) -> FakeRoom:
        """The room; a 404 for an unknown one."""
        if room not in self.rooms:
            raise Permanent(404, "M_NOT_FOUND", "unknown room")
        return self.rooms[RoomId(room)]

    def entered(self, by: UserId, room_id: str) -> FakeRoom:
        """The room, for somebody who is in it; a 403 for everybody else."""
        room = self.room(room_id)
        if room.membership(by) != "join":
            raise Permanent(403, "M_FORBIDDEN", f"{by} is not in the room")
        return room

    def create(
        self,
        by: UserId,
        *,
        name: str,
        invite: Sequence[str] = (),
        power: Content | None = None,
        initial: Sequence[tuple[str, str, Content]] = (),
        version: str | None = None,
        predecessor: RoomId | None = None,
    ) -> RoomId:
        """Make a private room; its invites are made one after another, and a failing one fails the call too late."""
        if len(invite) > MOST_INVITES_AT_CREATION:
            raise Permanent(400, "M_UNKNOWN", "Cannot invite so many users at once")
        version = version or self.version
        levels = {"historical": 100, **(power or {})}  # as Synapse adds it
        users = dict(levels.get("users", {}))
        if version == "12":
            users.pop(by, None)
        else:
            users[by] = 100
        tail = "" if version == "12" else f":{self.name}"
        room = FakeRoom(RoomId(f"!room{next(self._numbers)}{tail}"), version, by)
        self.rooms[room.id] = room
        replaces = {"predecessor": {"room_id": predecessor}} if predecessor else {}
        self._append(room, by, "m.room.create", {"room_version": version, **replaces}, "")
        self._member(room, by, by, "join")
        self._append(room, by, "m.room.power_levels", {**levels, "users": users}, "")
        self._append(room, by, "m.room.join_rules", {"join_rule": "invite"}, "")
        self._append(room, by, "m.room.name", {"name": name}, "")
        for type_, key, content in initial:
            self._append(room, by, type_, content, key)
        for user in invite:
            self.invite(by, room.id, user, "")
        return room.id

    def upgrade(self, by: UserId, room_id: str, version: str) -> RoomId:
        """Replace the room by a new one that copies it, bans too, and is empty; the old one falls silent."""
        old = self.entered(by, room_id)
        if not old.power.can_send(by, "m.room.tombstone", state=True):
            raise Permanent(403, "M_FORBIDDEN", "You don't have permission to upgrade this room")
        copied = [(type_, "", old.content(type_)) for type_ in _COPIED_BY_UPGRADE if old.content(type_)]
        levels = old.content("m.room.power_levels")
        new = self.create(
            by,
            name=old.content("m.room.name").get("name", ""),
            power=levels,
            initial=copied,
            version=version,
            predecessor=old.id,
        )
        for user, membership in old.members.items():
            if membership == "ban":
                self._member(self.rooms[new], by, user, "ban")
        self._append(old, by, "m.room.tombstone", {"body": "replaced", "replacement_room": new}, "")
        silent = max(int(levels.get("users_default", 0)) + 1, 50)
        changed = {name: max(int(levels.get(name, 0)), silent) for name in ("events_default", "invite")}
        self._append(old, by, "m.room.power_levels", {**levels, **changed}, "")
        return new

    def invite(self, by: UserId, room_id: str, user: str, reason: str) -> None:
        """Invite; again with the same reason makes no event, and a member cannot be invited."""
        room = self.entered(by, room_id)
        membership = room.membership(user)
        if membership == "join":
            raise Permanent(403, "M_FORBIDDEN", f"{user} is already in the room.")
        if membership == "ban":
            raise Permanent(403, "M_BAD_STATE", "Cannot invite user who was banned")
        if not room.power.can(by, "invite"):
            raise Permanent(403, "M_FORBIDDEN", "You cannot invite.")
        if user in self.blocking:
            raise Permanent(403, "M_INVITE_BLOCKED", "User is not accepting invites.")
        self._member(room, by, user, "invite", reason)

    def join(self, user: UserId, room_id: str) -> None:
        """Join by invite, by a `restricted` rule, or because the room is public."""
        room = self.room(room_id)
        membership = room.membership(user)
        if membership == "join":
            return
        if membership == "ban":
            raise Permanent(403, "M_BAD_STATE", "Cannot join user who was banned")
        if membership != "invite" and not self._rule_lets_in(room, user):
            raise Permanent(403, "M_FORBIDDEN", "You are not invited to this room.")
        self._member(room, user, user, "join")

    def bring_in(self, by: UserId, room_id: str, user: str) -> None:
        """Have somebody join, as a server admin: an invite without a reason, and its acceptance."""
        if by not in self.admins:
            raise Permanent(403, "M_FORBIDDEN", "You are not a server admin")
        if user.partition(":")[2] != self.name:
            raise Permanent(400, "M_UNKNOWN", "This endpoint can only be used with local users")
        if user not in self.names:
            raise Permanent(404, "M_NOT_FOUND", "User not found")
        blocking, self.blocking = self.blocking, set()
        try:
            self.invite(by, room_id, user, "")
        finally:
            self.blocking = blocking
        self.join(UserId(user), room_id)

    def leave(self, user: UserId, room_id: str, reason: str = "") -> None:
        """Leave, or decline."""
        room = self.room(room_id)
        if room.membership(user) not in ("join", "invite", "knock"):
            raise Permanent(403, "M_FORBIDDEN", "User is not in the room.")
        self._member(room, user, user, "leave", reason)

    def remove(self, by: UserId, room_id: str, user: str, reason: str) -> None:
        """Kick, or withdraw an invite."""
        room = self.entered(by, room_id)
        if room.membership(user) not in ("join", "invite", "knock"):
            raise Permanent(403, "M_FORBIDDEN", "The target user is not in the room")
        self._needs_more_power(room, by, user, "kick")
        self._member(room, by, user, "leave", reason)

    def ban(self, by: UserId, room_id: str, user: str, reason: str) -> None:
        """Ban, whether there or not."""
        room = self.entered(by, room_id)
        self._needs_more_power(room, by, user, "ban")
        self._member(room, by, user, "ban", reason)

    def unban(self, by: UserId, room_id: str, user: str) -> None:
        """Take a ban back."""
        room = self.entered(by, room_id)
        if room.membership(user) != "ban":
            raise Permanent(403, "M_BAD_STATE", "The user is not banned.")
        self._needs_more_power(room, by, user, "ban")
        self._member(room, by, user, "leave")

    def set_state(self, by: UserId, room_id: str, type_: str, content: Content, key: str = "") -> EventId:
        """Change the state; the same content again is no event."""
        room = self.entered(by, room_id)
        if type_ == "m.room.power_levels" and room.power.creators & set(content.get("users", {})):
            raise Permanent(400, "M_UNKNOWN", "Creators cannot be in the users of a version 12 room.")
        if not room.power.can_send(by, type_, state=True):
            raise Permanent(403, "M_FORBIDDEN", f"You don't have permission to send {type_}")
        if key.startswith("@") and key != by:
            raise Permanent(403, "M_FORBIDDEN", "You are not allowed to set others state")
        if type_ == "m.room.power_levels":
            _check_grants(room.power, by, content)
        return EventId(self._append(room, by, type_, content, key)["event_id"])

    def send(self, by: UserId, room_id: str, type_: str, content: Content, key: str) -> EventId:
        """Send an event; a repeat with the same transaction id is the first one."""
        room = self.entered(by, room_id)
        if (by, room_id, key) in self._sent:
            return self._sent[by, room_id, key]
        if not room.power.can_send(by, type_):
            raise Permanent(403, "M_FORBIDDEN", "You don't have permission to post that to the room")
        sent = self._append(room, by, type_, content, None, unsigned={"transaction_id": key})
        event = EventId(sent["event_id"])
        self._sent[by, room_id, key] = event
        return event

    def reveal(self, room_id: str, event_id: str, type_: str, content: Content) -> None:
        """An event that could not be read can be: it comes once more, as the account reads it then."""
        room = self.room(room_id)
        event = next(event for event in room.events if event["event_id"] == event_id)
        self.late.add(len(self.stream))
        self.stream.append((room.id, {**event, "type": type_, "content": dict(content)}))
        self.news.set()

    def redact(self, by: UserId, room_id: str, target: str, key: str) -> EventId:
        """Remove the content of an earlier event."""
        room = self.entered(by, room_id)
        if (by, room_id, key) in self._sent:
            return self._sent[by, room_id, key]
        targets = [event for event in room.events if event["event_id"] == target]
        is_own = all(event["sender"] == by for event in targets)
        if not room.power.can_send(by, "m.room.redaction") or not (is_own or room.power.can(by, "redact")):
            raise Permanent(403, "M_FORBIDDEN", "You don't have permission to redact events")
        event = self._append(room, by, "m.room.redaction", {"redacts": target}, None, redacts=target)
        for removed in targets:
            removed["content"] = {}
        self._sent[by, room_id, key] = EventId(event["event_id"])
        return EventId(event["event_id"])

    # --- inside

    def _needs_more_power(self, room: FakeRoom, by: UserId, user: str, action: str) -> None:
        power = room.power
        if not power.can(by, action) or power.level(user) >= power.level(by):
            raise Permanent(403, "M_FORBIDDEN", f"You cannot {action} this user.")

    def _rule_lets_in(self, room: FakeRoom, user: str) -> bool:
        rules = room.content("m.room.join_rules")
        if rules.get("join_rule") == "public":
            return True
        if rules.get("join_rule") != "restricted":
            return False
        allowed = [rule.get("room_id") for rule in rules.get("allow", ())]
        return any(other in self.rooms and self.rooms[other].membership(user) == "join" for other in allowed)

    def _member(self, room: FakeRoom, by: str, user: str, membership: str, reason: str = "") -> None:
        content = {"membership": membership, "displayname": self.names.get(user, user)}
        self._append(room, by, "m.room.member", {**content, **({"reason": reason} if reason else {})}, user)

    def _append(
        self, room: FakeRoom, by: str, type_: str, content: Content, key: str | None, **more: Any
    ) -> dict[str, Any]:
        old = room.state.get((type_, key)) if key is not None else None
        if old is not None and old["content"] == content and old["sender"] == by:
            return old
        event: dict[str, Any] = {
            "event_id": f"$event{next(self._numbers)}",
            "type": type_,
            "room_id": room.id,
            "sender": by,
            "origin_server_ts": to_ms(self.clock.now()),
            "content": dict(content),
            **more,
        }
        if key is not None:
            event["state_key"] = key
            if old is not None:
                event["unsigned"] = {"prev_content": old["content"], "prev_sender": old["sender"]}
            room.state[type_, key] = event
        room.events.append(event)
        self.stream.append((room.id, event))
        self.news.set()
        return event


@dataclass(frozen=True, slots=True)
class FakeUser:
    """Somebody with a Matrix client."""

    server: FakeServer
    id: UserId

    def create_room(
        self, name: str, *, invite: Sequence[str] = (), moderators: Sequence[str] = (), **more: Any
    ) -> RoomId:
        """Make a room, in which `moderators` have level 50."""
        power = {"users": dict.fromkeys(moderators, 50), "invite": 0, "events": {"m.room.name": 50}}
        room = self.server.create(self.id, name=name, power=power, **more)
        for user in invite:
            self.server.invite(self.id, room, user, "")
        return room

    def join(self, room: str) -> None:
        """Join."""
        self.server.join(self.id, room)

    def leave(self, room: str) -> None:
        """Leave, or decline."""
        self.server.leave(self.id, room)

    def invite(self, room: str, user: str, reason: str = "") -> None:
        """Invite somebody."""
        self.server.invite(self.id, room, user, reason)

    def upgrade(self, room: str, version: str = "12") -> RoomId:
        """Replace the room by one of another version."""
        return self.server.upgrade(self.id, room, version)

    def kick(self, room: str, user: str, reason: str = "") -> None:
        """Remove somebody."""
        self.server.remove(self.id, room, user, reason)

    def ban(self, room: str, user: str, reason: str = "") -> None:
        """Ban somebody."""
        self.server.ban(self.id, room, user, reason)

    def say(self, room: str, body: str, **more: Any) -> EventId:
        """Send a text; `more` goes into its content."""
        content = {"msgtype": "m.text", "body": body, **more}
        return self.server.send(self.id, room, "m.room.message", content, f"t{len(self.server.stream)}")

    def edit(self, room: str, event: str, body: str) -> EventId:
        """Replace the text of a message."""
        relation = {"rel_type": "m.replace", "event_id": event}
        new = {"msgtype": "m.text", "body": body}
        return self.say(room, f"* {body}", **{"m.new_content": new, "m.relates_to": relation})

    def send(self, room: str, type_: str, content: Content) -> EventId:
        """Send an event of any type."""
        return self.server.send(self.id, room, type_, content, f"t{len(self.server.stream)}")

    def react(self, room: str, target: str, key: str) -> EventId:
        """React."""
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": key}}
        return self.server.send(self.id, room, "m.reaction", content, f"t{len(self.server.stream)}")

    def redact(self, room: str, target: str) -> EventId:
        """Remove an event."""
        return self.server.redact(self.id, room, target, f"t{len(self.server.stream)}")

    def set_state(self, room: str, type_: str, content: Content, key: str = "") -> EventId:
        """Change the state of a room."""
        return self.server.set_state(self.id, room, type_, content, key)

    def set_power(self, room: str, user: str, level: int) -> None:
        """Give somebody a power level."""
        content = dict(self.server.room(room).content("m.room.power_levels"))
        self.set_state(room, "m.room.power_levels", {**content, "users": {**content.get("users", {}), user: level}})

    def sees_invite(self, room: str) -> bool:
        """Whether this one is invited to the room."""
        return self.server.room(room).membership(self.id) == "invite"


class FakeHomeserver:
    """The bot's account on a `FakeServer` (`bot.matrix.ports.Homeserver` and `Limits`)."""

    def __init__(self, server: FakeServer, localpart: str = "breakout") -> None:
        self.server = server
        self._me = server.user(localpart, "Breakout rooms").id
        self.calls: list[tuple[Any, ...]] = []
        """Each call that acts, with its arguments."""
        self.faults: list[Fault] = []
        self._waiting = asyncio.Event()
        self._asked_at = 0
        self._made: dict[str, RoomId] = {}
        self._data: dict[str, Content] = {}

    @property
    def me(self) -> UserId:
        """The bot's own user id."""
        return self._me

    def pace(self) -> Pace:
        """Unlimited."""
        return Pace(seconds_per_request=0.03)

    # --- Rooms

    async def create(self, blueprint: Blueprint, key: str, wanted: Wanted | None = None) -> RoomId:
        """Create a room; again with the same key it is the same one."""

        def act() -> RoomId:
            if key not in self._made:
                self._made[key] = self.server.create(
                    self._me,
                    name=blueprint.name,
                    invite=blueprint.invite,
                    power=blueprint.power,
                    initial=[
                        ("m.room.topic", "", {"topic": blueprint.topic}),
                        *((state.type, state.state_key, state.content) for state in blueprint.state),
                    ],
                )
            return self._made[key]

        await _turn_comes(wanted)
        return await self._call("create", act, blueprint, key)

    async def set_state(
        self,
        room: RoomId,
        type_: str,
        content: Content,
        state_key: str = "",
        *,
        urgency: Urgency = Urgency.LOCK,
    ) -> EventId:
        """Change the state of a room; what is no JSON raises `TypeError`."""
        del urgency
        json.dumps(content)
        if type_ == "m.room.power_levels" and self.server.room(room).creator == self._me:
            users = {user: level for user, level in content.get("users", {}).items() if user != self._me}
            is_infinite = self._me in self.server.room(room).power.creators
            content = {**content, "users": users if is_infinite else {**users, self._me: 100}}
        act = lambda: self.server.set_state(self._me, room, type_, content, state_key)  # noqa: E731
        return await self._call("set_state", act, room, type_, content, state_key)

    async def join(self, room: RoomId, via: Sequence[str] = ()) -> None:
        """Join a room."""
        del via
        await self._call("join", lambda: self.server.join(self._me, room), room)

    async def leave(self, room: RoomId, reason: str = "") -> None:
        """Leave a room; fine if we are not in it."""
        await self._call("leave", lambda: _fine(self.server.leave, self._me, room, reason), room, reason)

    # --- Members

    async def invite(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None:
        """Invite; fine if they are in it."""

        def act() -> None:
            if self.server.room(room).membership(user) != "join":
                self.server.invite(self._me, room, user, reason)

        await _turn_comes(wanted)
        await self._call("invite", act, room, user, reason)

    async def remove(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None:
        """Kick, or withdraw an invite; fine if they are not there."""

        def act() -> None:
            if self.server.room(room).membership(user) in ("join", "invite", "knock"):
                self.server.remove(self._me, room, user, reason)

        await _turn_comes(wanted)
        await self._call("remove", act, room, user, reason)

    async def ban(self, room: RoomId, user: UserId, reason: str) -> None:
        """Ban."""
        await self._call("ban", lambda: self.server.ban(self._me, room, user, reason), room, user, reason)

    async def unban(self, room: RoomId, user: UserId) -> None:
        """Take a ban back; fine if there is none."""

        def act() -> None:
            if self.server.room(room).membership(user) == "ban":
                self.server.unban(self._me, room, user)

        await self._call("unban", act, room, user)

    async def bring_in(self, room: RoomId, user: UserId) -> None:
        """Have a user of our own server join; fine if they are in it."""

        def act() -> None:
            if self.server.room(room).membership(user) != "join":
                self.server.bring_in(self._me, room, user)

        await self._call("bring_in", act, room, user)

    # --- Speaker

    async def send(
        self,
        room: RoomId,
        type_: str,
        content: Content,
        key: str,
        *,
        urgency: Urgency = Urgency.MESSAGE,
        wanted: Wanted | None = None,
    ) -> EventId:
        """Send an event once."""
        del urgency
        await _turn_comes(wanted)
        act = lambda: self.server.send(self._me, room, type_, content, key)  # noqa: E731
        return await self._call("send", act, room, type_, content, key)

    async def redact(self, room: RoomId, event: EventId, key: str, *, urgency: Urgency = Urgency.MESSAGE) -> None:
        """Remove the content of an event."""
        del urgency
        await self._call("redact", lambda: self.server.redact(self._me, room, event, key), room, event, key)

    # --- Reader

    async def sync(self, since: str | None, timeout_s: float) -> SyncBatch:
        """The next batch; waits for news where there is none and `timeout_s` is not 0."""
        await self._call("sync", lambda: None)
        position = int(since) if since else None
        while timeout_s and position is not None and not self._has_news(position):
            self._asked_at = len(self.server.stream)
            self.server.news.clear()
            self._waiting.set()
            await self.server.news.wait()
        self._waiting.clear()
        token = str(len(self.server.stream))
        joined, invited, left = {}, {}, {}
        for room in self.server.rooms.values():
            match room.membership(self._me):
                case "join":
                    if delta := self._delta(room, position):
                        joined[room.id] = delta
                case "invite" if self._is_new(room, position):
                    invited[room.id] = tuple(room.state.values())
                case "leave" | "ban" if position is not None and self._is_new(room, position):
                    left[room.id] = RoomDelta(timeline=(room.state["m.room.member", self._me],))
        late = tuple(
            self.server.stream[at] for at in sorted(self.server.late) if position is not None and at >= position
        )
        return SyncBatch(token, joined, invited, left, self.server.clock.now(), late)

    async def messages_before(self, room: RoomId, token: str, until: str) -> Sequence[RawEvent]:
        """Nothing: this server leaves no gaps."""
        del room, token, until
        return ()

    async def state(self, room: RoomId) -> Sequence[RawEvent]:
        """The whole present state of a room."""
        return await self._call("state", lambda: tuple(self.server.entered(self._me, room).state.values()), room)

    async def content(self, room: RoomId, type_: str, state_key: str) -> Content | None:
        """The content of one state event as it is now."""

        def act() -> Content | None:
            found = self.server.entered(self._me, room).state.get((type_, state_key))
            return None if found is None else found["content"]

        return await self._call("content", act, room, type_, state_key)

    async def event(self, room: RoomId, event: EventId) -> RawEvent:
        """One event as it reads since its last edit."""

        def act() -> RawEvent:
            events = self.server.entered(self._me, room).events
            for found in events:
                if found["event_id"] == event:
                    return edited(found, reversed(events)) if can_be_edited(found) else found
            raise Permanent(404, "M_NOT_FOUND", "unknown event")

        return await self._call("event", act, room, event)

    # --- AccountData

    async def account_data(self, type_: str) -> Content | None:
        """The account's own data of a type."""
        return self._data.get(type_)

    async def set_account_data(self, type_: str, content: Content) -> None:
        """Keep the account's own data of a type."""
        await self._call("set_account_data", lambda: self._data.__setitem__(type_, content), type_, content)

    # --- for tests

    def has_more(self) -> bool:
        """Whether something happened that the bot has not asked for."""
        return not self._waiting.is_set() or self._has_news(self._asked_at)

    async def taken_in(self) -> None:
        """Return when the bot has taken in all that happened, and waits for more."""
        while self.has_more():  # noqa: ASYNC110 - the bot's turn, not time, is waited for
            await asyncio.sleep(0)

    # --- inside

    def _has_news(self, position: int) -> bool:
        return any(self._concerns(room, event) for room, event in self.server.stream[position:])

    def _concerns(self, room: RoomId, event: RawEvent) -> bool:
        mine = event["type"] == "m.room.member" and event.get("state_key") == self._me
        return mine or self.server.rooms[room].membership(self._me) == "join"

    def _is_new(self, room: FakeRoom, position: int | None) -> bool:
        own = room.state.get(("m.room.member", self._me))
        return own is not None and any(event is own for _, event in self.server.stream[position or 0 :])

    def _delta(self, room: FakeRoom, position: int | None) -> RoomDelta | None:
        if position is None:
            return RoomDelta(state=tuple(room.state.values()))
        stream = enumerate(self.server.stream[position:], position)
        news = [event for at, (where, event) in stream if where == room.id and at not in self.server.late]
        if not news:
            return None
        if self._joined_before(room, news):
            return RoomDelta(timeline=tuple(news))
        fresh = {id(event) for event in news}
        earlier = tuple(event for event in room.state.values() if id(event) not in fresh)
        return RoomDelta(state=earlier, timeline=tuple(news))

    def _joined_before(self, room: FakeRoom, news: Sequence[RawEvent]) -> bool:
        return not any(e["type"] == "m.room.member" and e.get("state_key") == self._me for e in news)

    async def _call(self, verb: str, act: Callable[[], T], *arguments: Any) -> T:
        await asyncio.sleep(0)
        fault = next((f for f in self.faults if f.verb == verb and f.when(*arguments)), None)
        if fault is not None:
            fault.times -= 1
            if not fault.times:
                self.faults.remove(fault)
            if not fault.after_acting:
                raise fault.error
        if verb != "sync":
            self.calls.append((verb, *arguments))
        result = act()
        if fault is not None:
            raise fault.error
        return result

    def fail(self, verb: str, error: MatrixError | None = None, **more: Any) -> None:
        """Let the next calls of `verb` fail (see `Fault`)."""
        self.faults.append(Fault(verb, error or Temporary("the test says so"), **more))


def _check_grants(power: Power, by: UserId, content: Content) -> None:
    """Nobody gives more than they have, nor takes from others who have as much."""
    users, own = content.get("users", {}), power.level(by)
    for user in {*users, *power.users}:
        before, after = power.users.get(user), users.get(user)
        is_stronger = before is not None and before >= own and user != by
        if before != after and (is_stronger or max(before or 0, after or 0) > own):
            raise Permanent(403, "M_FORBIDDEN", "You don't have permission to change these power levels")


async def _turn_comes(wanted: Wanted | None) -> None:
    if wanted is not None and not await wanted():
        raise Outdated


def _fine(act: Callable[..., None], *arguments: Any) -> None:
    try:
        act(*arguments)
    except Permanent:
        return


def texts(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The bodies of messages, edits applied to nothing."""
    return (str(event["content"].get("body", "")) for event in events)
