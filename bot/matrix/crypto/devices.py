"""The devices of others, as their homeservers list them: none changes who it is, and what one names is its own word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
import vodozemac
from nio.crypto.device import OlmDevice
from nio.crypto.olm_machine import Olm
from nio.store.database import SqliteStore

from bot.matrix.events import mapping
from bot.matrix.ids import UserId

log = structlog.get_logger(__name__)


class Devices:
    """nio's list of devices, kept by us. Ours is in it where it was listed, and never counts."""

    def __init__(self, olm: Olm, store: SqliteStore) -> None:
        self._olm, self._store = olm, store
        self._naming: dict[str, dict[tuple[str, str], OlmDevice]] = {}
        """By Curve25519 key who names it as theirs, gone devices too: anybody can name anybody's."""
        for device in olm.device_store:
            self._index(device)

    def _index(self, device: OlmDevice) -> None:
        self._naming.setdefault(device.curve25519, {})[device.user_id, device.id] = device

    def learn(self, answer: Mapping[str, Any], asked: Iterable[UserId]) -> None:
        """Note the devices of the users that a `/keys/query` was about; malformed and forged ones are left out."""
        for user in asked:
            listed = mapping(answer.get(user))
            try:
                self._note(user, {name: keys for name, keys in listed.items() if self._is_device(user, name, keys)})
            except Exception as error:
                log.warning("devices that cannot be read", user=user, why=type(error).__name__)

    def _is_device(self, user: str, device: str, keys: Any) -> bool:
        """Whether these are a device's own, usable keys."""
        named = mapping(mapping(keys).get("keys"))
        try:
            vodozemac.Ed25519PublicKey.from_base64(named[f"ed25519:{device}"])
            vodozemac.Curve25519PublicKey.from_base64(named[f"curve25519:{device}"])
            signed = self._olm.verify_json(dict(keys), named[f"ed25519:{device}"], user, device)
        except Exception:
            return False
        return bool(signed and keys.get("user_id") == user and keys.get("device_id") == device)

    def _note(self, user: UserId, listed: Mapping[str, Mapping[str, Any]]) -> None:
        known, changed = self._olm.device_store[user], {}
        for name, value in listed.items():
            keys = {kind: value["keys"][f"{kind}:{name}"] for kind in ("ed25519", "curve25519")}
            device = known.setdefault(name, OlmDevice(user, name, keys, deleted=True))
            if device.keys != keys:
                log.warning("a device with other keys than before", user=user, device=name)
            elif device.deleted and (user, name) != (self._olm.user_id, self._olm.device_id):
                device.deleted = False
                self._index(device)
                changed[name] = device
        for device in tuple(self._olm.device_store.active_user_devices(user)):
            if device.id not in listed:
                device.deleted = True
                changed[device.id] = device
        self._store.save_device_keys({user: changed})

    def of(self, users: Iterable[UserId]) -> Sequence[OlmDevice]:
        """The devices of these users, our own left out."""
        return [device for user in users for device in self._olm.device_store.active_user_devices(user)]

    def by_key(self, user: UserId, curve25519: Any) -> OlmDevice | None:
        """The device of a user by its Curve25519 key."""
        return self._olm.device_store.device_from_sender_key(user, curve25519)

    def is_alone(self, device: OlmDevice) -> bool:
        """Whether no other device names the same Curve25519 key."""
        return len(self._naming[device.curve25519]) == 1

    def owner(self, curve25519: str, ed25519: str) -> UserId | None:
        """Whose device has both keys: at most one names both, since with the one it signs that it names the other."""
        named = self._naming.get(curve25519, {}).values()
        return next((UserId(device.user_id) for device in named if device.ed25519 == ed25519), None)
