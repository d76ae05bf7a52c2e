"""The bot's account at a real homeserver, encryption included."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Self
from urllib.parse import quote

from bot.clock import Clock
from bot.errors import Foreign, Permanent, RateLimited, Temporary
from bot.matrix.batch import batch_of, events_of, sync_filter
from bot.matrix.crypto.cross_signing import Account, Chain, as_others_see_it, has_recovery
from bot.matrix.crypto.encryption import ENCRYPTION, Encryption
from bot.matrix.crypto.identity import KeyStore
from bot.matrix.crypto.machine import Machine
from bot.matrix.events import Content, RawEvent, SyncBatch
from bot.matrix.http import Ask, ask, open_client, path
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.limits import Limit
from bot.matrix.ports import Blueprint, Pace, Urgency, Wanted
from bot.matrix.reading import as_it_reads
from bot.matrix.requests import Requests
from bot.matrix.rhythm import Rhythm
from bot.matrix.server import chosen_version
from bot.metrics import Metrics

LONG_TIMEOUT = 120.0
"""Seconds for what makes the homeserver do much: a room with its invites, a join through other servers."""

FIRST_SLACK = 10.0
"""Seconds that a sync may take longer than it was asked to wait: nobody is heard while it hangs."""

TIMELINE = 100
PAGES_OF_A_GAP = 5
"""So many pages of `TIMELINE` events are read back; what was said before is too old to matter."""

LIMITS = "org.breakoutbot.limits"
"""Account data: the requests in a second that the homeserver grants. Matrix knows no fractions, so it is a string."""

MORE_THAN_STOCK = 12
"""Requests in a row that a stock Synapse refuses one of."""

_NEVER_ENCRYPTED = frozenset({"m.reaction"})
"""Homeservers count reactions, so clients send them in clear (client-server API, "Event annotations")."""

_THERE = frozenset({"join", "invite", "knock"})


class NioHomeserver:
    """`bot.matrix.ports.Homeserver` and `Limits`. Without keys, encrypted rooms can be neither read nor written in."""

    def __init__(
        self,
        ask: Ask,
        me: UserId,
        clock: Clock,
        machine: Machine | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._me, self._machine = me, machine
        self.requests = Requests(ask, clock, metrics or Metrics())
        self._ask, self._act, self._limiter = self.requests.ask, self.requests.act, self.requests.limiter
        self._encryption = Encryption(machine, self._ask, clock) if machine else None
        self._version: str | None = None
        self._own_rooms: dict[RoomId, str | None] = {}
        self._repeatable_creation = True
        self._unanswered = 0
        """Syncs in a row that took too long."""
        self._rhythm = Rhythm()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        user_id: str,
        device_id: str,
        access_token: str,
        clock: Clock,
        keys: KeyStore | None = None,
        metrics: Metrics | None = None,
    ) -> AsyncIterator[Self]:
        """The account behind a login that exists; nothing is asked of the homeserver yet."""
        async with open_client(url) as client:
            client.restore_login(user_id, device_id, access_token)
            machine = Machine(UserId(user_id), device_id, keys.folder, keys.key) if keys else None
            account = cls(partial(ask, client), UserId(user_id), clock, machine, metrics)
            try:
                yield account
            finally:
                if account._encryption:
                    await account._encryption.close()
                if machine:
                    machine.close()

    async def as_others_see_it(self, device: str) -> Chain:
        """Which links hold by which other people's clients know a device of the account."""
        return await as_others_see_it(self._ask, self._me, device)

    async def has_recovery(self, keys: KeyStore) -> bool:
        """Whether the identity could be restored by somebody who was shown its recovery key."""
        return await has_recovery(self._ask, self._me, keys)

    async def signer(self, keys: KeyStore) -> Account:
        """What sets the identity of the account up; this device's keys are at the homeserver then."""
        assert self._encryption is not None  # noqa: S101 - asked only of a connection with keys
        assert self._machine is not None  # noqa: S101
        await self._encryption.publish()
        machine = self._machine
        return Account(self._ask, self._me, machine.device, machine.ed25519, machine.sign, keys)

    @property
    def me(self) -> UserId:
        """The bot's own user id."""
        return self._me

    def pace(self) -> Pace:
        """How fast the homeserver lets us work, as far as seen."""
        return self._limiter.pace()

    async def find_limits(self) -> float | None:
        """How many requests in a second the homeserver grants, None where that is as many as it can.

        Found out in a room of our own, which is left again: nobody hears of it. `recall_limits` knows it later.
        """
        with suppress(RateLimited):
            room = await self._create({"name": "How fast may I be?"}, secrets.token_hex(16))
            try:
                for number in range(MORE_THAN_STOCK):
                    await self.set_state(room, "m.room.topic", {"topic": f"{number}"}, urgency=Urgency.ANSWER)
            finally:
                with suppress(RateLimited):
                    await self._act("POST", path("rooms", room, "leave"), {}, urgency=Urgency.ANSWER)
                with suppress(Permanent):
                    await self._ask("POST", path("rooms", room, "forget"), {})
        found = self._limiter.pace().per_second
        await self.set_account_data(LIMITS, {"per_second": found and f"{found:.3f}"})
        return found

    async def recall_limits(self) -> None:
        """Take the limits that `find_limits` found, if it was ever asked."""
        found = (await self.account_data(LIMITS) or {}).get("per_second")
        with suppress(TypeError, ValueError):
            self._limiter.believe(max(0.01, float(found)))  # type: ignore[arg-type]

    # --- Rooms

    async def create(self, blueprint: Blueprint, key: str, wanted: Wanted | None = None) -> RoomId:
        """Create the room; where the server knows `PUT`, a repeat with the same key is the same room.

        A `Permanent` may leave a room behind all the same (an invitee who blocks invites: Synapse tells no room id).
        """
        version = await self._room_version()
        room = await self._create(self._creation(blueprint, version), key, wanted)
        self._own_rooms[room] = version
        if self._encryption:
            settings = [state.content for state in blueprint.state if state.type == ENCRYPTION]
            self._encryption.created(room, settings[0] if settings else None)
        return room

    async def _create(self, body: Content, key: str, wanted: Wanted | None = None) -> RoomId:
        how: dict[str, Any] = {
            "urgency": Urgency.INVITE,
            "limit": Limit.NEW_ROOMS,
            "timeout_s": LONG_TIMEOUT,
            "wanted": wanted,
        }
        if self._repeatable_creation:
            try:
                made = await self._act("PUT", path("createRoom", key), body, **how)
                return RoomId(made.text("room_id"))
            except Permanent as refused:
                # No server that knows the request says 404 or 405 to it.
                if refused.status not in (404, 405) and refused.errcode != "M_UNRECOGNIZED":
                    raise
                self._repeatable_creation = False
        made = await self._act("POST", path("createRoom"), body, **how)
        return RoomId(made.text("room_id"))

    async def set_state(
        self,
        room: RoomId,
        type_: str,
        content: Content,
        state_key: str = "",
        *,
        urgency: Urgency = Urgency.LOCK,
    ) -> EventId:
        """Change the state of a room; Synapse makes no event where the content is the same."""
        if type_ == "m.room.power_levels" and (version := await self._version_if_ours(room)):
            content = {**content, "users": self._users(content, version)}
        where = path("rooms", room, "state", type_, state_key)
        event_id = EventId((await self._act("PUT", where, content, room=room, urgency=urgency)).text("event_id"))
        if self._encryption and type_ == ENCRYPTION:
            # What is said next is said before sync tells of it.
            self._encryption.note_settings(room, content)
        return event_id

    async def join(self, room: RoomId, via: Sequence[str] = ()) -> None:
        """Join a room, if need be through the servers `via`."""
        # `server_name` is what servers before Matrix 1.12 call `via`.
        query = [(name, server) for server in via for name in ("server_name", "via")]
        where = path("join", room)
        how: dict[str, Any] = {"urgency": Urgency.LOCK, "limit": Limit.JOINS, "timeout_s": LONG_TIMEOUT}
        await self._act("POST", where, {}, query, room=room, **how)

    async def leave(self, room: RoomId, reason: str = "") -> None:
        """Leave the room or decline its invite, and forget it; fine if we are not in it."""
        try:
            await self._act(
                "POST", path("rooms", room, "leave"), _with_reason({}, reason), room=room, urgency=Urgency.CLEAN_UP
            )
        except Permanent as refused:
            if refused.status not in (403, 404) or await self._membership(room, self._me) == "join":
                raise
        with suppress(Permanent):  # a room that the homeserver has forgotten already
            await self._ask("POST", path("rooms", room, "forget"), {})
        self._own_rooms.pop(room, None)
        if self._encryption:
            self._encryption.forget(room)

    # --- Members

    async def invite(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None:
        """Invite; fine if they are invited or in the room."""
        await self._member(room, "invite", user, reason, Urgency.INVITE, lambda now: now in ("invite", "join"), wanted)

    async def remove(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None:
        """Kick, or withdraw an invite; fine if they are not there."""
        await self._member(room, "kick", user, reason, Urgency.REMOVE, lambda now: now not in _THERE, wanted)

    async def ban(self, room: RoomId, user: UserId, reason: str) -> None:
        """Ban, whether there or not."""
        await self._member(room, "ban", user, reason, Urgency.REMOVE, lambda now: now == "ban")

    async def unban(self, room: RoomId, user: UserId) -> None:
        """Take a ban back; fine if there is none."""
        await self._member(room, "unban", user, "", Urgency.INVITE, lambda now: now != "ban")

    async def bring_in(self, room: RoomId, user: UserId) -> None:
        """Have a user of our own server join, by Synapse's admin API ("Edit room membership"); fine if they are in."""
        where = f"/_synapse/admin/v1/join/{quote(room, safe='')}"
        try:
            await self._change(room, where, {"user_id": user}, Urgency.INVITE, lambda now: now == "join")
        except Foreign as refused:  # many proxies let only /_matrix through, and will do so tomorrow
            raise Permanent(refused.status, "M_UNRECOGNIZED", "a proxy does not pass /_synapse/admin on") from refused

    async def _member(
        self,
        room: RoomId,
        verb: str,
        user: UserId,
        reason: str,
        urgency: Urgency,
        is_so: Callable[[str], bool],
        wanted: Wanted | None = None,
    ) -> None:
        body = _with_reason({"user_id": user}, reason)
        await self._change(room, path("rooms", room, verb), body, urgency, is_so, wanted)

    async def _change(
        self,
        room: RoomId,
        where: str,
        body: Content,
        urgency: Urgency,
        is_so: Callable[[str], bool],
        wanted: Wanted | None = None,
    ) -> None:
        """Change the membership of the user whom `body` names; fine where it is so already."""
        try:
            await self._act("POST", where, body, room=room, urgency=urgency, wanted=wanted)
            if self._encryption:
                self._encryption.members_change(room)
        except Permanent as refused:
            # Servers tell "is so already" and "may not" apart only by words; the state tells it for certain.
            if refused.status != 403:  # noqa: PLR2004
                raise
            now = await self._membership(room, UserId(body["user_id"]))
            if now is None or not is_so(now):
                raise

    async def _membership(self, room: RoomId, user: UserId) -> str | None:
        """The user's membership; `leave` for one who was never there, None where we may not know."""
        try:
            content = await self.content(room, "m.room.member", user)
        except Permanent:
            return None
        return "leave" if content is None else str(content.get("membership"))

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
        """Send an event; a repeat with the same key from the same device is the first one."""
        encryption = None if type_ in _NEVER_ENCRYPTED else self._encryption
        if encryption:
            await encryption.prepare(room)  # mostly all that takes long, while others have the turn
        async with self.requests.turn(room, urgency, wanted):
            if encryption:  # not earlier: while a turn is waited for, people come and go
                type_, content = await encryption.sealed(room, type_, content)
            answer = await self.requests.noted("PUT", path("rooms", room, "send", type_, key), content)
        return EventId(answer.text("event_id"))

    async def redact(self, room: RoomId, event: EventId, key: str, *, urgency: Urgency = Urgency.MESSAGE) -> None:
        """Remove the content of an event."""
        await self._act("PUT", path("rooms", room, "redact", event, key), {}, room=room, urgency=urgency)

    # --- Reader

    async def sync(self, since: str | None, timeout_s: float) -> SyncBatch:
        """The next batch; without `since` the present state with at most one event a room."""
        query = {
            "filter": json.dumps(sync_filter(timeline=TIMELINE if since else 1)),
            "timeout": str(round(timeout_s * 1000)),
            "set_presence": "offline",
        }
        if since is not None:
            query["since"] = since
        slack = sync_slack(self._unanswered) if since else LONG_TIMEOUT
        await asyncio.sleep(self._rhythm.pause)
        began = monotonic()
        try:
            answer = await self._ask("GET", path("sync"), query=query, timeout_s=timeout_s + slack)
        except Temporary:
            self._unanswered += 1
            raise
        self._unanswered = 0
        self._rhythm.answered(monotonic() - began)
        # The JSON as it is: nio's events lose what they do not know.
        batch = batch_of(answer.json, answer.server_time)
        if self._encryption is None:
            return batch
        late = await self._encryption.take_in(since, answer.json)
        joined = {
            room: replace(delta, timeline=self._opened(room, delta.timeline)) for room, delta in batch.joined.items()
        }
        return replace(batch, joined=joined, late=tuple(late))

    def _opened(self, room: RoomId, events: Iterable[RawEvent]) -> tuple[RawEvent, ...]:
        """The events as they read; our own as they are."""
        if self._encryption is None:
            return tuple(events)
        return tuple(e if e.get("sender") == self._me else self._encryption.opened(room, e) for e in events)

    async def messages_before(self, room: RoomId, token: str, until: str) -> Sequence[RawEvent]:
        """The events between `until` and the gap token, oldest first; the last few hundred of them."""
        newest_first: list[RawEvent] = []
        for _ in range(PAGES_OF_A_GAP):
            query = {"dir": "b", "from": token, "to": until, "limit": str(TIMELINE)}
            answer = await self._ask("GET", path("rooms", room, "messages"), query=query)
            newest_first.extend(events_of(answer.json, "chunk"))
            end = answer.json.get("end")
            if not isinstance(end, str) or end in (token, until):
                break
            token = end
        return self._opened(room, newest_first[::-1])

    async def state(self, room: RoomId) -> Sequence[RawEvent]:
        """The whole present state of a room."""
        answer = await self._ask("GET", path("rooms", room, "state"), expect=list)
        return events_of({"events": answer.json})

    async def content(self, room: RoomId, type_: str, state_key: str) -> Content | None:
        """The content of one state event as it is now; None where there is none."""
        try:
            found: Content = (await self._ask("GET", path("rooms", room, "state", type_, state_key))).json
        except Permanent as refused:
            if refused.status == 404:  # noqa: PLR2004
                return None
            raise
        return found

    async def event(self, room: RoomId, event: EventId) -> RawEvent:
        """One event as it reads since its last edit, as relaying a replied-to message needs it."""
        return await as_it_reads(self._ask, room, event, partial(self._opened_one, room))

    def _opened_one(self, room: RoomId, raw: RawEvent) -> RawEvent:
        return self._encryption.opened(room, raw, is_news=False) if self._encryption else raw

    # --- AccountData

    async def account_data(self, type_: str) -> Content | None:
        """The account's own data of a type."""
        try:
            found: Content = (await self._ask("GET", path("user", self._me, "account_data", type_))).json
        except Permanent as refused:
            if refused.status == 404:  # noqa: PLR2004
                return None
            raise
        return found

    async def set_account_data(self, type_: str, content: Content) -> None:
        """Keep the account's own data of a type."""
        await self._ask("PUT", path("user", self._me, "account_data", type_), content)

    # --- inside

    async def _room_version(self) -> str:
        """The server's default where it is one whose rules we know, else the newest such that it has."""
        if self._version is None:
            try:
                answer = (await self._ask("GET", path("capabilities"))).json
            except Permanent:
                answer = {}
            self._version = chosen_version(answer)
        return self._version

    async def _version_if_ours(self, room: RoomId) -> str | None:
        """The version of a room that we made, None for anybody else's; asked once a room and process."""
        if room not in self._own_rooms:
            # All of the state, since the content of the one event does not tell who sent it.
            made = [
                e for e in await self.state(room) if e.get("type") == "m.room.create" and e.get("sender") == self._me
            ]
            self._own_rooms[room] = str(made[0].get("content", {}).get("room_version", "1")) if made else None
        return self._own_rooms[room]

    def _users(self, power: Content, version: str) -> Mapping[str, int]:
        """The levels of people, ours among them except where creators stand above all levels (version 12).

        There it is an error to name a creator, who in other rooms must be named.
        """
        users = {user: level for user, level in power.get("users", {}).items() if user != self._me}
        return users if version == "12" else {**users, self._me: 100}

    def _creation(self, blueprint: Blueprint, version: str) -> Mapping[str, Any]:
        users = self._users(blueprint.power, version)
        state = [{"type": s.type, "state_key": s.state_key, "content": s.content} for s in blueprint.state]
        return {
            "preset": "private_chat",
            "visibility": "private",
            "room_version": version,
            "name": blueprint.name,
            "topic": blueprint.topic,
            "power_level_content_override": {**blueprint.power, "users": users},
            "initial_state": state,
            "invite": list(blueprint.invite),
        }


def sync_slack(unanswered: int) -> float:
    """How many seconds longer than asked a sync may take, after so many in a row that failed: it may need the time."""
    return min(LONG_TIMEOUT, FIRST_SLACK * 2.0 ** min(unanswered, 10))


def _with_reason(body: Mapping[str, Any], reason: str) -> Mapping[str, Any]:
    return {**body, "reason": reason} if reason else body
