"""Encrypted rooms: who gets the keys of a room and when, and what comes back readable."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from nio.crypto.device import OlmDevice
from nio.crypto.sessions import OutboundGroupSession

from bot.clock import Clock
from bot.errors import Permanent
from bot.matrix.batch import events_of
from bot.matrix.crypto.machine import MEGOLM, Machine, NoKeyError, UnreadableError
from bot.matrix.events import Content, RawEvent, mapping
from bot.matrix.http import Ask, path
from bot.matrix.ids import RoomId, UserId, server_of

log = structlog.get_logger(__name__)

ENCRYPTION = "m.room.encryption"

KEY_TYPE = "signed_curve25519"

DEVICES_AT_ONCE = 50
"""To-device messages in one request."""

DEVICES_A_TURN = 8
"""Encrypted without a pause: half a millisecond each, and the event loop has other things to do."""

OTHERS_WAIT_MS = 10_000
"""How long the homeserver may wait for other servers to tell the keys of their users."""

UNREACHABLE_FOR = timedelta(minutes=5)
"""Who could not be reached is not asked for again at once: every message would wait for them."""

KEY_MAY_TAKE = timedelta(minutes=5)
"""A message whose key comes later than this is not handled any more."""

MOST_WAITING = 1000
"""Messages that wait for their key."""

MOST_OF_ONE = 100
"""Of them from one sender: more take no place of somebody else's."""


T = TypeVar("T")


@dataclass(slots=True)
class _Room:
    """What is known of one encrypted room."""

    settings: Content
    members: frozenset[UserId] | None = None
    """Who is in it or invited; None: to be asked, something has changed."""
    changes: int = 0
    """How often they have changed."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Encryption:
    """The keys of one device, at work. Members are the homeserver's word at the time of sending, never a guess."""

    def __init__(self, machine: Machine, ask: Ask, clock: Clock) -> None:
        self._machine, self._ask, self._clock = machine, ask, clock
        self._rooms: dict[RoomId, _Room | None] = {}
        """None: known to be unencrypted."""
        self._unsure: set[RoomId] = set()
        """Rooms that were not made encrypted, while it is not known whether the homeserver leaves them so."""
        self._leaves_in_clear = False
        self._known: set[UserId] = set()
        """Users of whom every device is known, as of the last sync."""
        self._wanted: set[UserId] = set()
        self._asking: set[UserId] = set()
        """Users of whom the devices are being asked for, and noted."""
        self._querying, self._busy = asyncio.Lock(), asyncio.Lock()
        self._unreachable: dict[UserId | tuple[str, str], datetime] = {}
        self._waiting: OrderedDict[str, tuple[RoomId, RawEvent, datetime]] = OrderedDict()
        """By event id, oldest first: messages whose key is not here."""
        self._tending: asyncio.Task[None] | None = None
        self._one_time_keys = 0
        self._has_fallback = True
        self._last: tuple[str | None, Sequence[tuple[RoomId, RawEvent]]] = (None, ())
        """What came late with the last batch, which is asked for again where it could not be taken in."""

    async def settled(self) -> None:
        """Return when nothing is left to do for the keys that the last sync told of."""
        if self._tending is not None:
            await asyncio.wait({self._tending})

    async def close(self) -> None:
        """Let go of what is under way."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait({self._tending})

    # --- what comes in

    async def take_in(self, since: str | None, answer: Mapping[str, Any]) -> Sequence[tuple[RoomId, RawEvent]]:
        """Take in what a sync answer says of keys and members; the earlier messages that can be read only now."""
        keys = await self._receive(events_of(answer.get("to_device")), since)
        lists = mapping(answer.get("device_lists"))
        for name in ("changed", "left"):
            changed = {UserId(user) for user in _list(lists.get(name)) if isinstance(user, str)}
            self._known -= changed
            for user in changed:
                self._unreachable.pop(user, None)
        count = mapping(answer.get("device_one_time_keys_count")).get(KEY_TYPE, 0)
        self._one_time_keys = count if isinstance(count, int) else 0
        unused = answer.get("device_unused_fallback_key_types")
        self._has_fallback = not isinstance(unused, list) or KEY_TYPE in unused
        rooms = mapping(answer.get("rooms"))
        for room, body in mapping(rooms.get("join")).items():
            self._note_room(RoomId(room), mapping(body))
        for room in mapping(rooms.get("leave")):
            self.forget(RoomId(room))
        if self._tending is None or self._tending.done():  # never awaited here: other servers may be slow to answer
            self._tending = asyncio.create_task(self._tend())
        former, late = self._last
        self._last = since, (*(late if since == former else ()), *self._late(keys))
        return self._last[1]

    async def _receive(self, events: Sequence[RawEvent], since: str | None) -> Collection[tuple[RoomId, str]]:
        """Take in what came to this device; the keys that it brought."""
        keys: set[tuple[RoomId, str]] = set()

        def receive(some: Sequence[RawEvent]) -> None:
            keys.update(key for raw in some if (key := self._machine.receive(raw, since)))
            self._machine.received()

        await self._in_turns(events, receive)
        if events:  # the next sync has the homeserver forget them
            await asyncio.to_thread(self._machine.flush)
        return keys

    def _note_room(self, room: RoomId, body: Mapping[str, Any]) -> None:
        events = (*events_of(body.get("state")), *events_of(body.get("timeline")))
        for raw in events:
            if raw.get("type") == ENCRYPTION and raw.get("state_key") == "":
                self.note_settings(room, mapping(raw.get("content")))
        known = self._rooms.get(room)
        if known is None:
            return
        gap = mapping(body.get("timeline")).get("limited") is True
        if gap or any(raw.get("type") == "m.room.member" and "state_key" in raw for raw in events):
            self.members_change(room)

    def members_change(self, room: RoomId) -> None:
        """Somebody is being invited or removed: who may read the next message is to be asked, not awaited by sync."""
        if known := self._rooms.get(room):
            known.members = None
            known.changes += 1

    def forget(self, room: RoomId) -> None:
        """We are out of a room, and will read nothing there any more."""
        self._rooms.pop(room, None)
        self._unsure.discard(room)
        self._machine.forget_room(room)  # also where this process has not heard of the room yet

    def note_settings(self, room: RoomId, settings: Content) -> None:
        """A room is encrypted from now on, for ever (client-server API, `m.room.encryption`)."""
        known = self._rooms.get(room)
        self._rooms[room] = _Room(settings) if known is None else known
        if known is not None:
            known.settings = settings
        self._machine.remember_encrypted(room)

    def created(self, room: RoomId, settings: Content | None) -> None:
        """A room is new and ours, encrypted (`settings`) or not.

        Some homeservers encrypt every new room (Synapse's `encryption_enabled_by_default_for_room_type`): the first
        one is asked about, as any room is, and tells for all.
        """
        if settings is not None:
            self.note_settings(room, settings)
        elif self._leaves_in_clear:
            self._in_clear(room)
        else:
            self._unsure.add(room)

    def _in_clear(self, room: RoomId) -> None:
        """A homeserver that lies must not make us say in clear what was said encrypted before."""
        self._rooms.setdefault(room, _Room({}) if self._machine.was_encrypted(room) else None)

    def _late(self, keys: Collection[tuple[RoomId, str]]) -> Iterator[tuple[RoomId, RawEvent]]:
        oldest = self._clock.now() - KEY_MAY_TAKE
        while self._waiting and (len(self._waiting) > MOST_WAITING or next(iter(self._waiting.values()))[2] < oldest):
            self._waiting.popitem(last=False)
        for event_id, (room, raw, _) in list(self._waiting.items()):
            if (room, str(mapping(raw.get("content")).get("session_id"))) in keys:
                opened = self.opened(room, raw)
                if opened is not raw:  # else it may be a copy of the key that came
                    del self._waiting[event_id]
                    yield room, opened

    def opened(self, room: RoomId, raw: RawEvent, *, is_news: bool = True) -> RawEvent:
        """An event as it reads; the same one where it is not encrypted or cannot be read (yet).

        One that is news comes with a later batch when its key has come.
        """
        if raw.get("type") != "m.room.encrypted" or "state_key" in raw:
            return raw
        try:
            type_, content = self._machine.decrypt(room, raw)
        except NoKeyError:
            if is_news and self._has_place(raw.get("sender")):
                self._waiting.setdefault(str(raw.get("event_id")), (room, raw, self._clock.now()))
            return raw
        except UnreadableError as error:
            log.info("a message that cannot be read", room=room, sender=raw.get("sender"), why=str(error))
            return raw
        relation = mapping(raw.get("content")).get("m.relates_to")
        related = {**content, "m.relates_to": relation} if isinstance(relation, Mapping) else content
        return {**raw, "type": type_, "content": related}

    def _has_place(self, sender: object) -> bool:
        return len([1 for _, raw, _ in self._waiting.values() if raw.get("sender") == sender]) < MOST_OF_ONE

    # --- what goes out

    async def is_encrypted(self, room: RoomId) -> bool:
        """Whether what is said there must be encrypted; asked of the homeserver once a room and process."""
        return await self._room(room) is not None

    async def sealed(self, room: RoomId, type_: str, content: Content) -> tuple[str, Content]:
        """Type and content as the room wants them: encrypted where it is, the keys shared with all who may read."""
        known = await self._writable(room)
        if known is None:
            return type_, content
        async with known.turn:
            await self._share(room, known)
            return "m.room.encrypted", self._machine.encrypt(room, type_, content)

    async def prepare(self, room: RoomId) -> None:
        """Share the keys with all who may read now: `sealed` then has only to look who has come or gone since."""
        known = await self._writable(room)
        if known is not None:
            async with known.turn:
                await self._share(room, known)

    async def _writable(self, room: RoomId) -> _Room | None:
        known = await self._room(room)
        if known is not None and known.settings.get("algorithm", MEGOLM) != MEGOLM:
            raise Permanent(400, "M_UNSUPPORTED", "the room is encrypted in a way that is not known here")
        return known

    async def _room(self, room: RoomId) -> _Room | None:
        if room not in self._rooms:
            try:
                answer = await self._ask("GET", path("rooms", room, "state", ENCRYPTION))
            except Permanent as refused:
                if refused.status != 404:  # noqa: PLR2004
                    raise
                self._in_clear(room)
                self._leaves_in_clear = self._leaves_in_clear or room in self._unsure
            else:
                self.note_settings(room, answer.json)
        return self._rooms[room]

    async def _share(self, room: RoomId, known: _Room) -> None:
        """Give the room's present key to every device that may read and has it not."""
        members = await self._members(room, known)
        await self._know(members)
        devices = self._machine.devices(members)
        session = self._machine.outbound(room, known.settings)
        if session.users_shared_with - _names(devices):
            self._machine.discard_outbound(room)  # somebody who can read on has gone, or a device has
            session = self._machine.outbound(room, known.settings)
        if missing := self._machine.without_key(session, devices):
            await self._begin_sessions(missing)
            await self._hand_out(room, session, [device for device in missing if self._machine.has_session(device)])

    async def _members(self, room: RoomId, known: _Room) -> frozenset[UserId]:
        if (members := known.members) is not None:
            return members
        changes = known.changes
        answer = await self._ask("GET", path("rooms", room, "members"), query={"not_membership": "leave"})
        members = frozenset(
            UserId(str(raw.get("state_key")))
            for raw in events_of(answer.json, "chunk")
            if mapping(raw.get("content")).get("membership") in ("join", "invite")
        )
        if known.changes == changes:  # else the answer may be older than what sync told meanwhile
            known.members = members
        return members

    async def _know(self, users: Iterable[UserId]) -> None:
        """Ask for the devices of those who are not known; those who wait for it meanwhile are asked for together."""
        users = frozenset(users)
        if not self._unknown(users) and not users & self._asking:
            return  # nor is there a wait for what others ask: a server may take its time
        self._wanted |= self._unknown(users)
        async with self._querying:
            # Looked at again: whoever was asking for the same users meanwhile may have failed.
            mine, now = self._unknown(users), self._clock.now()
            if not mine:
                return
            asked = mine | (self._wanted - self._known)
            self._wanted.clear()
            # Before the request: a change that comes by sync meanwhile takes them out again.
            self._known |= asked
            self._asking = asked
            try:
                body = {"device_keys": {user: [] for user in sorted(asked)}, "timeout": OTHERS_WAIT_MS}
                answer = (await self._ask("POST", path("keys", "query"), body)).json
                failed = {user for user in asked if server_of(user) in mapping(answer.get("failures"))}
                found = mapping(answer.get("device_keys"))
                await self._in_turns(sorted(asked - failed), lambda some: self._machine.learn(found, some))
            except BaseException:
                self._known -= asked
                raise
            finally:
                self._asking = set()
            self._known -= failed
            waiting = {who: until for who, until in self._unreachable.items() if until > now}
            self._unreachable = waiting | dict.fromkeys(failed, now + UNREACHABLE_FOR)

    def _unknown(self, users: Iterable[UserId]) -> set[UserId]:
        now = self._clock.now()
        return {user for user in users if user not in self._known and not self._is_unreachable(user, now)}

    def _is_unreachable(self, who: UserId | tuple[str, str], now: datetime) -> bool:
        return self._unreachable.get(who, now) > now

    async def _begin_sessions(self, devices: Iterable[OlmDevice]) -> None:
        now = self._clock.now()
        without = {
            (device.user_id, device.id): device
            for device in devices
            if not self._machine.has_session(device) and not self._is_unreachable((device.user_id, device.id), now)
        }
        if not without:
            return
        wanted: dict[str, dict[str, str]] = defaultdict(dict)
        for user, name in without:
            wanted[user][name] = KEY_TYPE
        body = {"one_time_keys": wanted, "timeout": OTHERS_WAIT_MS}
        found = mapping((await self._ask("POST", path("keys", "claim"), body)).json.get("one_time_keys"))

        def begin(some: Sequence[OlmDevice]) -> None:
            for device in some:
                keys = mapping(mapping(found.get(device.user_id)).get(device.id))
                if not any(self._machine.begin_session(device, key) for key in list(keys.values())[:1]):
                    self._unreachable[device.user_id, device.id] = now + UNREACHABLE_FOR

        await self._in_turns(list(without.values()), begin)

    async def _hand_out(self, room: RoomId, session: OutboundGroupSession, devices: Sequence[OlmDevice]) -> None:
        content = self._machine.room_key(room, session)
        for start in range(0, len(devices), DEVICES_AT_ONCE):
            some = devices[start : start + DEVICES_AT_ONCE]
            session.users_shared_with |= _names(some)  # before the request: it may work though no answer comes
            # Before, too: who tells meanwhile that our session is broken has it not, and is given it again.
            self._machine.have_key(session, some)
            try:
                await self._send_to(some, "m.room_key", content)
            except BaseException:
                self._machine.may_lack_key(session, some)
                raise

    async def _send_to(self, devices: Sequence[OlmDevice], type_: str, content: Content) -> None:
        messages: dict[str, dict[str, Content]] = defaultdict(dict)

        def wrap(some: Sequence[OlmDevice]) -> None:
            for device in some:
                messages[device.user_id][device.id] = self._machine.wrap(device, type_, content)

        await self._in_turns(devices, wrap)
        await asyncio.to_thread(self._machine.flush)
        where = path("sendToDevice", "m.room.encrypted", secrets.token_hex(8))
        await self._ask("PUT", where, {"messages": messages})

    async def _in_turns(self, items: Sequence[T], act: Callable[[Sequence[T]], None]) -> None:
        """Act on a few at a time, in one write, one task after another: between them the event loop does the rest."""
        for start in range(0, len(items), DEVICES_A_TURN):
            async with self._busy:
                with self._machine.at_once():
                    act(items[start : start + DEVICES_A_TURN])
                await asyncio.sleep(0)

    # --- what the homeserver is to have of us

    async def publish(self) -> None:
        """Let the homeserver have the keys by which others find this device, where it has them not."""
        if not self._machine.is_published:
            await self._upload(self._machine.to_publish(one_time_keys=0, has_fallback=False))

    async def _tend(self) -> None:
        """Upload the keys that have run low, mend broken sessions; what fails is tried again with the next sync."""
        try:
            await self._upload(
                self._machine.to_publish(one_time_keys=self._one_time_keys, has_fallback=self._has_fallback)
            )
            await self._mend()
        except Exception as error:
            log.warning("keys could not be looked after", why=str(error))

    async def _upload(self, body: Content) -> None:
        if not body:
            return
        await asyncio.to_thread(self._machine.flush)
        try:
            await self._ask("POST", path("keys", "upload"), body)
        except Permanent as refused:
            if "device_keys" in body:
                raise
            # Keys of these names are there already: an old copy of the store is in use. New ones get new names.
            log.error("the homeserver refuses one-time keys", why=refused.message)
        self._machine.published()

    async def _mend(self) -> None:
        await self._begin_sessions(self._machine.wedged_devices())
        if begun := self._machine.unannounced_devices():
            await self._send_to(begun, "m.dummy", {})
            self._machine.announced(begun)


def _names(devices: Iterable[OlmDevice]) -> set[tuple[str, str]]:
    return {(device.user_id, device.id) for device in devices}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
