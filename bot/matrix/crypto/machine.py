"""The device's keys and sessions: nio's Olm machine and store, which nothing that somebody sends can break.

It asks nothing of the homeserver. `PRIVATE` lists what it uses though nio keeps it private; a test fails where a new
nio changes that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from nio.crypto.device import OlmDevice
from nio.crypto.olm_machine import Olm
from nio.crypto.sessions import InboundGroupSession, OutboundGroupSession, Session
from nio.events.to_device import OlmEvent

from bot.matrix.crypto.database import DeviceDatabase
from bot.matrix.crypto.devices import Devices
from bot.matrix.crypto.room_keys import RoomKey, RoomKeys, opened
from bot.matrix.events import Content, RawEvent, mapping
from bot.matrix.ids import RoomId, UserId
from bot.matrix.received import received

log = structlog.get_logger(__name__)

OLM, MEGOLM = "m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"

PRIVATE = {
    "Olm._olm_encrypt": "(self, session, recipient_device, message_type, content)",
    "Olm._handle_olm_event": "(self, sender: 'str', sender_key: 'str', payload: 'dict[Any, Any]') -> 'DecryptedOlmT'",
    "MatrixStore._get_account": "(self)",
    "OlmAccount._account": "vodozemac.Account",
}
"""Name in nio and its signature, or its type for what is no function."""

MOST_ONE_TIME_KEYS = 50
"""Kept at the homeserver for others to begin an Olm session with; more of them slow each upload."""

MOST_SESSIONS = 10
"""Olm sessions with one device; each message is tried with all of them, and whoever likes begins more."""

UNWEDGED_APART = timedelta(hours=1)
"""A broken Olm session is replaced at most this often (client-server API, "Recovering from undecryptable messages")."""


class NoKeyError(Exception):
    """The key of a message is not here (yet)."""


class UnreadableError(Exception):
    """A message that no key makes readable: forged, repeated, or damaged."""


class _Told(NamedTuple):
    """What came encrypted to this device: the sender and the key are proven, the content is not looked at."""

    sender: UserId
    curve25519: str
    payload: Mapping[str, Any]


class _Olm(Olm):
    """nio's Olm machine, which hands over what it has decrypted: what is made of it is told below."""

    store: DeviceDatabase

    def _handle_olm_event(self, sender: str, sender_key: str, payload: dict[Any, Any]) -> Any:
        return _Told(UserId(sender), sender_key, payload)

    def decrypt(self, sender: str, sender_key: str, message: Any) -> Any:
        before = len(self.session_store[sender_key])
        try:
            return super().decrypt(sender, sender_key, message)
        finally:
            # One is added only by the owner of the key: nobody else can push the owner's out.
            if len(kept := self.session_store[sender_key]) > max(before, MOST_SESSIONS):
                self._forget_oldest(kept)

    def _forget_oldest(self, sessions: list[Session]) -> None:
        sessions.sort(key=lambda session: session.use_time, reverse=True)
        self.store.forget_sessions([session.id for session in sessions[MOST_SESSIONS:]])
        del sessions[MOST_SESSIONS:]


class Machine:
    """One device. Whatever JSON others send, it is left out and logged by its kind, and nothing raises."""

    def __init__(self, user: UserId, device: str, folder: Path, pickle_key: str) -> None:
        """Open the device's database, or begin one."""
        self._store = DeviceDatabase(user, device, folder, pickle_key)
        self.user, self.device = user, device
        self._olm = _Olm(user, device, self._store)
        self._devices = Devices(self._olm, self._store)
        self._keys = RoomKeys(self._store.database, pickle_key)
        with self.at_once():
            self._keys.take_over(self._olm.inbound_group_store)
        self._replaced_at: dict[tuple[UserId, str], datetime] = {}
        """By device (user, Curve25519 key): whoever names somebody's key uses up no turn of theirs."""
        self.wedged: set[tuple[UserId, str]] = set()
        """Devices (user, Curve25519 key) with which a new Olm session is to be begun."""
        self._unannounced: set[tuple[UserId, str]] = set()
        """Devices with which one was begun that they have not heard of."""
        self._begun: dict[tuple[str, str], Session] = {}
        """By device (user, id) the Olm session that was begun with it last."""
        self._holders: dict[str, set[tuple[str, str]]] = defaultdict(set)
        """By Megolm session the devices (user, id) that have its key for certain, or are being sent it."""
        self._encrypted: set[str] = self._store.load_encrypted_rooms()
        self._store.keep_account()

    def close(self) -> None:
        """Close the store."""
        self._store.database.close()

    def flush(self) -> None:
        """Wait until all that was written is on the disk, in whatever thread; before others are told of it."""
        self._store.flush()

    @property
    def is_published(self) -> bool:
        """Whether the homeserver has taken this device's identity keys."""
        return bool(self._olm.account.shared)

    @property
    def curve25519(self) -> str:
        """The key by which other devices address this one."""
        return str(self._olm.account.identity_keys["curve25519"])

    @property
    def ed25519(self) -> str:
        """The key with which this device signs."""
        return str(self._olm.account.identity_keys["ed25519"])

    def sign(self, value: Mapping[str, Any]) -> str:
        """The device's signature of a JSON object, `signatures` and `unsigned` left out."""
        return str(self._olm.sign_json({k: v for k, v in value.items() if k not in ("signatures", "unsigned")}))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Several writes as one: per device, they are what takes the time."""
        with self._store.at_once():
            yield

    # --- what the homeserver is to have of us

    def to_publish(self, *, one_time_keys: int, has_fallback: bool) -> Content:
        """The body of `/keys/upload`, given what the homeserver has: empty where nothing is missing.

        A fallback key answers those who find no one-time key. After the upload, call `published`.
        """
        account, body = self._olm.account, {}
        if not account.shared:
            body["device_keys"] = self._signed(
                {
                    "algorithms": [OLM, MEGOLM],
                    "device_id": self.device,
                    "user_id": self.user,
                    "keys": {f"curve25519:{self.device}": self.curve25519, f"ed25519:{self.device}": self.ed25519},
                }
            )
            one_time_keys = 0
        unsent: Mapping[str, str] = account.one_time_keys["curve25519"]
        if not unsent and one_time_keys < MOST_ONE_TIME_KEYS // 2:
            account.generate_one_time_keys(MOST_ONE_TIME_KEYS - one_time_keys)
            unsent = account.one_time_keys["curve25519"]
        if unsent:
            body["one_time_keys"] = {
                f"signed_curve25519:{name}": self._signed({"key": key}) for name, key in unsent.items()
            }
        if not has_fallback:
            body["fallback_keys"] = {
                f"signed_curve25519:{name}": self._signed({"key": key, "fallback": True})
                for name, key in self._fallback_keys().items()
            }
        if body:
            self._olm.save_account()  # before the upload: a key that is used must be known after a kill
        return body

    def _fallback_keys(self) -> Mapping[str, str]:
        """A new fallback key, or the one whose upload was not confirmed; nio has none."""
        account: Any = self._olm.account._account
        if not account.fallback_key:
            account.generate_fallback_key()
        return {name: key.to_base64() for name, key in account.fallback_key.items()}

    def published(self) -> None:
        """The homeserver has taken what was to be published."""
        self._olm.account.shared = True
        self._olm.account.mark_keys_as_published()
        self._olm.save_account()

    def _signed(self, value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "signatures": {self.user: {f"ed25519:{self.device}": self.sign(value)}}}

    # --- other devices

    def learn(self, answer: Mapping[str, Any], asked: Iterable[UserId]) -> None:
        """Note the devices of the users that a `/keys/query` was about; malformed and forged ones are left out."""
        with self.at_once():
            self._devices.learn(answer, asked)

    def devices(self, users: Iterable[UserId]) -> Sequence[OlmDevice]:
        """The devices of these users, our own left out."""
        return self._devices.of(users)

    def has_session(self, device: OlmDevice) -> bool:
        """Whether we can write to this device, and the session is not known to be broken."""
        return _named(device) not in self.wedged and self._session(device) is not None

    def _session(self, device: OlmDevice) -> Session | None:
        """The Olm session for writing to a device.

        nio keeps them by Curve25519 key. Where another device names the same key, only a session that began with a
        one-time key of this very device is surely for it: the other one's could be read by nobody.
        """
        if not self._devices.is_alone(device):
            return self._begun.get((device.user_id, device.id))
        return self._olm.session_store.get(device.curve25519)

    def begin_session(self, device: OlmDevice, one_time_key: Any) -> bool:
        """Begin an Olm session with what `/keys/claim` gave; False where that is no signed key of this device."""
        try:
            if not self._olm.verify_json(one_time_key, device.ed25519, device.user_id, device.id):
                return False
            session = self._olm.create_session(one_time_key["key"], device.curve25519)
        except Exception as error:
            log.warning("a one-time key that cannot be used", user=device.user_id, why=type(error).__name__)
            return False
        self._begun[device.user_id, device.id] = session
        if (who := _named(device)) in self.wedged:
            self.wedged.discard(who)
            self._unannounced.add(who)
            self._lack_keys(*who)
        return True

    def wrap(self, device: OlmDevice, type_: str, content: Content) -> Content:
        """Encrypt something to one device, as `m.room.encrypted`; `has_session` must be true of it."""
        wrapped: Content = self._olm._olm_encrypt(self._session(device), device, type_, content)
        return wrapped

    # --- what comes to this device

    def receive(self, raw: RawEvent, since: str | None = None) -> tuple[RoomId, str] | None:
        """Take in a to-device event; the room and the session whose key it brought, None for all else.

        `since` is the token of the sync that told of it: the same answer may come again, and opens nothing twice.
        """
        content = mapping(raw.get("content"))
        if raw.get("type") != "m.room.encrypted" or content.get("algorithm") != OLM:
            return None
        if self._store.came_before(since or "", raw.get("sender"), content, self.curve25519):
            return None
        told: object = None
        try:
            event = OlmEvent.from_dict(dict(raw))
            told = self._olm.decrypt_event(event) if isinstance(event, OlmEvent) else None
        except Exception as error:
            log.warning("an Olm message that cannot be read", sender=raw.get("sender"), why=type(error).__name__)
        if isinstance(told, _Told):
            return self._heed(told)
        self._is_wedged(raw.get("sender"), content.get("sender_key"))
        return None

    def _heed(self, told: _Told) -> tuple[RoomId, str] | None:
        content = mapping(told.payload.get("content"))
        match told.payload.get("type"):
            case "m.dummy":  # they could not read what we sent, and have begun a new session
                self.wedged.discard((told.sender, told.curve25519))
                for device in self._devices_by_key(told.sender, told.curve25519):
                    self._begun.pop(device, None)
                self._lack_keys(told.sender, told.curve25519)
            case "m.room_key" if content.get("algorithm") == MEGOLM:
                return self._take_key(told, content)
        return None

    def _take_key(self, told: _Told, content: Content) -> tuple[RoomId, str] | None:
        try:
            room, ed25519 = RoomId(content["room_id"]), told.payload["keys"]["ed25519"]
            session = InboundGroupSession(content["session_key"], ed25519, told.curve25519, room)
            if session.id != content["session_id"]:
                raise ValueError("the key of another session")  # noqa: TRY301
            self._keys.add(RoomKey(session, told.sender))
        except Exception as error:
            log.warning("the key of a room that cannot be used", sender=told.sender, why=type(error).__name__)
            return None
        return room, session.id

    def received(self) -> None:
        """A batch of to-device events is taken in: the one-time keys that they used up are gone for good."""
        self._olm.save_account()
        for device in self._olm.wedged_devices:
            self._is_wedged(device.user_id, device.curve25519)
        self._olm.wedged_devices.clear()

    def _is_wedged(self, user: Any, key: Any) -> None:
        now = datetime.now().astimezone()
        device = self._devices.by_key(UserId(user), key) if isinstance(user, str) else None
        if device is None:
            return
        last = self._replaced_at.get(who := _named(device))
        if last is None or now - last > UNWEDGED_APART:
            self._replaced_at[who] = now
            self.wedged.add(who)

    def wedged_devices(self) -> Sequence[OlmDevice]:
        """The devices with which a new Olm session is to be begun."""
        return self._found(self.wedged)

    def unannounced_devices(self) -> Sequence[OlmDevice]:
        """The devices that are to be told of a new Olm session, by an `m.dummy`."""
        return self._found(self._unannounced)

    def announced(self, devices: Iterable[OlmDevice]) -> None:
        """These devices were told."""
        self._unannounced -= {_named(device) for device in devices}

    def _found(self, named: Iterable[tuple[UserId, str]]) -> Sequence[OlmDevice]:
        return [device for user, key in named if (device := self._devices.by_key(user, key))]

    def decrypt(self, room: RoomId, raw: RawEvent) -> tuple[str, Content]:
        """Type and content of an `m.room.encrypted` event. Raises `NoKeyError`, `UnreadableError`.

        The sender's key may be missing in the event (deprecated since Matrix 1.3): the session tells it.
        """
        content = mapping(raw.get("content"))
        session_id, ciphertext = content.get("session_id"), content.get("ciphertext")
        if content.get("algorithm") != MEGOLM or not isinstance(session_id, str) or not isinstance(ciphertext, str):
            raise UnreadableError("not Megolm")
        sender = str(raw.get("sender"))
        keys = [key for key in self._keys.of(room, session_id) if self._is_of(key, sender)]
        if not keys:
            raise NoKeyError(session_id)  # that of another device is as good as none: theirs may come yet
        try:
            key, plaintext, index = opened(keys, ciphertext)
        except ValueError as error:
            raise UnreadableError(str(error)) from error
        seen = self._olm.message_index_store.setdefault((*key.device, session_id, index), raw.get("event_id"))
        if seen != raw.get("event_id"):
            raise UnreadableError("a message that was sent again")
        try:
            payload = received(plaintext.encode())
        except ValueError as error:
            raise UnreadableError("malformed") from error
        return _checked(room, payload)

    def _is_of(self, key: RoomKey, sender: str) -> bool:
        """Whether a key was given by a device of `sender`.

        A device that is not known is whose it says, by the homeserver's word and its own.
        """
        if key.device == (self.curve25519, self.ed25519):
            return sender == self.user
        return (self._devices.owner(*key.device) or key.sender) == sender

    # --- the keys of rooms

    def remember_encrypted(self, room: RoomId) -> None:
        """Note for ever that a room is encrypted."""
        if room not in self._encrypted:
            self._encrypted.add(room)
            self._store.save_encrypted_rooms([room])

    def was_encrypted(self, room: RoomId) -> bool:
        """Whether a room was ever known to be encrypted."""
        return room in self._encrypted

    def outbound(self, room: RoomId, settings: Content) -> OutboundGroupSession:
        """The session that encrypts for a room, a new one where it has served its time (`m.room.encryption`)."""
        session = self._olm.outbound_group_sessions.get(room)
        if session is None or session.expired:
            self.discard_outbound(room)
            session = self._olm.outbound_group_sessions[room] = OutboundGroupSession()
            own = InboundGroupSession(session.session_key, self.ed25519, self.curve25519, room)
            self._keys.add(RoomKey(own, self.user))
            if isinstance(most := settings.get("rotation_period_msgs"), int):
                session.max_messages = min(session.max_messages, max(1, most))
            if isinstance(age := settings.get("rotation_period_ms"), int):
                session.max_age = min(session.max_age, timedelta(milliseconds=max(3_600_000, age)))
        return session

    def discard_outbound(self, room: RoomId) -> None:
        """The next message gets a new session: somebody who has the key of this one has gone."""
        if (session := self._olm.outbound_group_sessions.pop(room, None)) is not None:
            self._holders.pop(session.id, None)

    def forget_room(self, room: RoomId) -> None:
        """Forget the keys of what was said in a room: each process loads all that are kept."""
        self.discard_outbound(room)
        self._keys.forget(room)

    def without_key(self, session: OutboundGroupSession, devices: Iterable[OlmDevice]) -> Sequence[OlmDevice]:
        """Those of the devices that do not have the key of a session for certain."""
        holders = self._holders[session.id]
        return [device for device in devices if (device.user_id, device.id) not in holders]

    def have_key(self, session: OutboundGroupSession, devices: Iterable[OlmDevice]) -> None:
        """These devices are sent the key of a session."""
        self._holders[session.id].update((device.user_id, device.id) for device in devices)

    def may_lack_key(self, session: OutboundGroupSession, devices: Iterable[OlmDevice]) -> None:
        """Whether these devices got the key of a session is not known."""
        self._holders[session.id].difference_update((device.user_id, device.id) for device in devices)

    def _lack_keys(self, user: UserId, curve25519: str) -> None:
        """What was sent to a device may not have been readable: it gets the keys of rooms again."""
        for holders in self._holders.values():
            holders -= self._devices_by_key(user, curve25519)  # noqa: PLW2901 - in place

    def _devices_by_key(self, user: UserId, curve25519: str) -> set[tuple[str, str]]:
        return {(user, device.id) for device in self._devices.of([user]) if device.curve25519 == curve25519}

    def room_key(self, room: RoomId, session: OutboundGroupSession) -> Content:
        """What a device needs to read what is said from now on."""
        return {
            "algorithm": MEGOLM,
            "room_id": room,
            "session_id": session.id,
            "session_key": session.session_key,
        }

    def encrypt(self, room: RoomId, type_: str, content: Content) -> Content:
        """The content of an `m.room.encrypted`; what it relates to stays readable for the homeserver."""
        session = self._olm.outbound_group_sessions[room]
        session.mark_as_shared()
        encrypted: dict[str, Any] = self._olm.group_encrypt(room, {"type": type_, "content": dict(content)})
        if "m.relates_to" in content:
            encrypted["m.relates_to"] = content["m.relates_to"]
        return encrypted


def _named(device: OlmDevice) -> tuple[UserId, str]:
    return UserId(device.user_id), device.curve25519


def _checked(room: RoomId, payload: Any) -> tuple[str, Content]:
    """Only messages travel encrypted: no state, no redaction, nothing of another room."""
    type_, content = mapping(payload).get("type"), mapping(payload).get("content")
    if not isinstance(type_, str) or not isinstance(content, Mapping) or payload.get("room_id") != room:
        raise UnreadableError("malformed")
    if "state_key" in payload or (type_.startswith("m.room.") and type_ != "m.room.message"):
        raise UnreadableError("state that came encrypted")
    return type_, content
