"""The device's keys and sessions: nio's Olm machine and store, which nothing that somebody sends can break.

It asks nothing of the homeserver. `PRIVATE` lists what it uses though nio keeps it private; a test fails where a new
nio changes that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
import vodozemac
from nio.crypto.device import OlmDevice
from nio.crypto.olm_machine import Olm
from nio.crypto.sessions import OutboundGroupSession
from nio.events.to_device import OlmEvent, RoomKeyEvent
from nio.responses import KeysQueryResponse
from nio.store.database import SqliteStore
from nio.store.models import MegolmInboundSessions

from bot.matrix.events import Content, RawEvent, mapping
from bot.matrix.ids import RoomId, UserId
from bot.matrix.received import received

log = structlog.get_logger(__name__)

OLM, MEGOLM = "m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"

PRIVATE = {
    "Olm._olm_encrypt": "(self, session, recipient_device, message_type, content)",
    "MatrixStore._get_account": "(self)",
    "OlmAccount._account": "vodozemac.Account",
}
"""Name in nio and its signature, or its type for what is no function."""

MOST_ONE_TIME_KEYS = 50
"""Kept at the homeserver for others to begin an Olm session with; more of them slow each upload."""

UNWEDGED_APART = timedelta(hours=1)
"""A broken Olm session is replaced at most this often (client-server API, "Recovering from undecryptable messages")."""


class NoKeyError(Exception):
    """The key of a message is not here (yet)."""


class UnreadableError(Exception):
    """A message that no key makes readable: forged, repeated, or damaged."""


class Machine:
    """One device. Whatever JSON others send, it is left out and logged by its kind, and nothing raises."""

    def __init__(self, user: UserId, device: str, folder: Path, pickle_key: str) -> None:
        """Open the device's store, or begin one. Its blocking writes are short: a log file, flushed by the system."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._store = SqliteStore(user, device, str(folder), pickle_key=pickle_key, database_name="device.db")
        self._store.database.execute_sql("PRAGMA journal_mode=WAL")
        self._store.database.execute_sql("PRAGMA synchronous=NORMAL")
        self.user, self.device = user, device
        self._olm = Olm(user, device, self._store)
        self._replaced_at: dict[str, datetime] = {}
        self.wedged: set[tuple[UserId, str]] = set()
        """Devices (user, Curve25519 key) with which a new Olm session is to be begun."""
        self._encrypted: set[str] = self._store.load_encrypted_rooms()
        account = self._store._get_account()
        # nio asks the store for the account's row at each write; it never changes.
        self._store._get_account = lambda: account

    def close(self) -> None:
        """Close the store."""
        self._store.database.close()

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
        with self._store.database.atomic():
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
            for user in asked:
                listed = answer.get(user)
                devices = {
                    device: {name: value for name, value in keys.items() if name != "unsigned"}
                    for device, keys in mapping(listed).items()
                    if self._is_device(user, device, keys)
                }
                try:
                    self._olm.handle_response(KeysQueryResponse({user: devices}, {}))
                    self._undelete(user, devices)
                except Exception as error:
                    log.warning("devices that cannot be read", user=user, why=type(error).__name__)

    def _is_device(self, user: str, device: str, keys: Any) -> bool:
        """Whether these are a device's own, usable keys; nio raises in the middle of its work where not."""
        named = mapping(mapping(keys).get("keys"))
        try:
            vodozemac.Ed25519PublicKey.from_base64(named[f"ed25519:{device}"])
            vodozemac.Curve25519PublicKey.from_base64(named[f"curve25519:{device}"])
            signed = self._olm.verify_json(dict(keys), named[f"ed25519:{device}"], user, device)
        except Exception:
            return False
        return bool(signed and keys.get("user_id") == user and keys.get("device_id") == device)

    def _undelete(self, user: UserId, devices: Iterable[str]) -> None:
        """A device that was not listed for once and is again; nio leaves it out for ever."""
        back = {d: known for d in devices if (known := self._olm.device_store[user].get(d)) and known.deleted}
        for device in back.values():
            device.deleted = False
        if back:
            self._store.save_device_keys({user: back})

    def devices(self, users: Iterable[UserId]) -> Sequence[OlmDevice]:
        """The devices of these users, our own left out."""
        return [
            device
            for user in users
            for device in self._olm.device_store.active_user_devices(user)
            if (user, device.id) != (self.user, self.device)
        ]

    def has_session(self, device: OlmDevice) -> bool:
        """Whether we can write to this device, and the session is not known to be broken."""
        key = device.curve25519
        return (UserId(device.user_id), key) not in self.wedged and self._olm.session_store.get(key) is not None

    def begin_session(self, device: OlmDevice, one_time_key: Any) -> bool:
        """Begin an Olm session with what `/keys/claim` gave; False where that is no signed key of this device."""
        try:
            if not self._olm.verify_json(one_time_key, device.ed25519, device.user_id, device.id):
                return False
            self._olm.create_session(one_time_key["key"], device.curve25519)
        except Exception as error:
            log.warning("a one-time key that cannot be used", user=device.user_id, why=type(error).__name__)
            return False
        self.wedged.discard((UserId(device.user_id), device.curve25519))
        return True

    def wrap(self, device: OlmDevice, type_: str, content: Content) -> Content:
        """Encrypt something to one device, as `m.room.encrypted`; `has_session` must be true of it."""
        session = self._olm.session_store.get(device.curve25519)
        wrapped: Content = self._olm._olm_encrypt(session, device, type_, content)
        return wrapped

    # --- what comes to this device

    def receive(self, raw: RawEvent) -> tuple[RoomId, str] | None:
        """Take in a to-device event; the room and the session whose key it brought, None for all else."""
        content = mapping(raw.get("content"))
        if raw.get("type") != "m.room.encrypted" or content.get("algorithm") != OLM:
            return None
        try:
            event = OlmEvent.from_dict(dict(raw))
            found = self._olm.decrypt_event(event) if isinstance(event, OlmEvent) else None
        except Exception as error:
            log.warning("an Olm message that cannot be read", sender=raw.get("sender"), why=type(error).__name__)
            found = None
        if found is None:
            self._is_wedged(raw.get("sender"), content.get("sender_key"))
        if not isinstance(found, RoomKeyEvent):
            return None
        return RoomId(found.room_id), str(found.session_id)

    def received(self) -> None:
        """A batch of to-device events is taken in: the one-time keys that they used up are gone for good."""
        self._olm.save_account()
        for device in self._olm.wedged_devices:
            self._is_wedged(device.user_id, device.curve25519)
        self._olm.wedged_devices.clear()

    def _is_wedged(self, user: Any, key: Any) -> None:
        now = datetime.now().astimezone()
        device = self._olm.device_store.device_from_sender_key(user, key) if isinstance(user, str) else None
        last = self._replaced_at.get(str(key))
        if device is not None and (last is None or now - last > UNWEDGED_APART):
            self._replaced_at[device.curve25519] = now
            self.wedged.add((UserId(device.user_id), device.curve25519))

    def wedged_devices(self) -> Sequence[OlmDevice]:
        """The devices with which a new Olm session is to be begun."""
        return [d for user, key in self.wedged if (d := self._olm.device_store.device_from_sender_key(user, key))]

    def decrypt(self, room: RoomId, raw: RawEvent) -> tuple[str, Content]:
        """Type and content of an `m.room.encrypted` event. Raises `NoKeyError`, `UnreadableError`.

        The sender's key may be missing in the event (deprecated since Matrix 1.3): the session tells it.
        """
        content = mapping(raw.get("content"))
        session_id, ciphertext = content.get("session_id"), content.get("ciphertext")
        if content.get("algorithm") != MEGOLM or not isinstance(session_id, str) or not isinstance(ciphertext, str):
            raise UnreadableError("not Megolm")
        session = next(
            (by_id[session_id] for by_id in self._olm.inbound_group_store[room].values() if session_id in by_id), None
        )
        if session is None:
            raise NoKeyError(session_id)
        if self._belongs_to_another(session.sender_key, str(raw.get("sender"))):
            raise UnreadableError("another user's session")
        try:
            plaintext, index = session.decrypt(ciphertext)
            payload = received(plaintext.encode())
        except Exception as error:
            raise UnreadableError(type(error).__name__) from error
        seen = self._olm.message_index_store.setdefault((session.sender_key, session_id, index), raw.get("event_id"))
        if seen != raw.get("event_id"):
            raise UnreadableError("a message that was sent again")
        return _checked(room, payload)

    def _belongs_to_another(self, key: str, sender: str) -> bool:
        """Whether a session came from a device that is known to be somebody else's."""
        owners = {device.user_id for device in self._olm.device_store if device.curve25519 == key}
        if key == self.curve25519:
            owners.add(self.user)
        return bool(owners) and sender not in owners

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
            self._olm.create_outbound_group_session(room)
            session = self._olm.outbound_group_sessions[room]
            if isinstance(most := settings.get("rotation_period_msgs"), int):
                session.max_messages = min(session.max_messages, max(1, most))
            if isinstance(age := settings.get("rotation_period_ms"), int):
                session.max_age = min(session.max_age, timedelta(milliseconds=max(3_600_000, age)))
        return session

    def discard_outbound(self, room: RoomId) -> None:
        """The next message gets a new session: somebody who has the key of this one has gone."""
        self._olm.outbound_group_sessions.pop(room, None)

    def forget_room(self, room: RoomId) -> None:
        """Forget the keys of what was said in a room: each process loads all that are kept."""
        self._olm.outbound_group_sessions.pop(room, None)
        self._olm.inbound_group_store[room].clear()
        with self._store.database.bind_ctx(self._store.models):
            MegolmInboundSessions.delete().where(MegolmInboundSessions.room_id == room).execute()

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


def _checked(room: RoomId, payload: Any) -> tuple[str, Content]:
    """Only messages travel encrypted: no state, no redaction, nothing of another room."""
    type_, content = mapping(payload).get("type"), mapping(payload).get("content")
    if not isinstance(type_, str) or not isinstance(content, Mapping) or payload.get("room_id") != room:
        raise UnreadableError("malformed")
    if "state_key" in payload or (type_.startswith("m.room.") and type_ != "m.room.message"):
        raise UnreadableError("state that came encrypted")
    return type_, content
