"""The bot's cross-signing identity: three keys by which other people's clients know that a device is the bot's.

Client-server API, "Cross-signing".
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa
from nio.api import Api

from bot.errors import BotError
from bot.matrix.crypto import secret_storage

USAGES = ("master", "self_signing", "user_signing")


@dataclass(frozen=True, slots=True)
class KeyStore:
    """Where the device's keys and the identity are kept, and what they are encrypted with there."""

    folder: Path
    key: str

    @property
    def identity(self) -> Path:
        """Where the identity is kept."""
        return self.folder / "identity.json"

    @property
    def pending(self) -> Path:
        """Where a new one is kept until the homeserver has it, so that a refusal costs nobody the old one."""
        return self.folder / "identity.pending.json"

    @property
    def shown(self) -> Path:
        """Where the public master key stands whose recovery key somebody has."""
        return self.folder / "recovery-key-shown"

    @property
    def file_key(self) -> bytes:
        """The key of the identity's file."""
        return sha256(self.key.encode()).digest()


class IdentityError(BotError):
    """The account's identity is not ours to use; the text says what an admin does about it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The seeds of the three keys, each of 32 bytes (RFC 8032)."""

    master: bytes
    self_signing: bytes
    user_signing: bytes

    def __post_init__(self) -> None:
        if any(len(self.seed(usage)) != secret_storage.KEY_LENGTH for usage in USAGES):
            raise ValueError("a seed of another length")

    @classmethod
    def new(cls) -> Self:
        """Three keys that nobody has."""
        return cls(*(secrets.token_bytes(32) for _ in USAGES))

    def seed(self, usage: str) -> bytes:
        """The seed of one of the keys."""
        seed: bytes = getattr(self, usage)
        return seed

    def public(self, usage: str) -> str:
        """The public part of one of the keys."""
        return public_of(self.seed(usage))

    def key_object(self, user: str, usage: str) -> dict[str, Any]:
        """One of the keys as it is uploaded; all but the master key signed by that."""
        public = self.public(usage)
        value = {"user_id": user, "usage": [usage], "keys": {f"ed25519:{public}": public}}
        return value if usage == "master" else self.signed("master", user, value)

    def signed(self, usage: str, user: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON object with the signature of one of the keys besides those that it has."""
        signature = eddsa.new(_key(self.seed(usage)), "rfc8032").sign(_canonical(value))
        signatures = {name: dict(by) for name, by in value.get("signatures", {}).items()}
        signatures.setdefault(user, {})[f"ed25519:{self.public(usage)}"] = secret_storage.to_base64(signature)
        return {**value, "signatures": signatures}

    def keep(self, path: Path, key: bytes) -> None:
        """Write it to a file, encrypted; whole or not at all, readable by us alone, there after a power cut too."""
        sealed = {
            usage: secret_storage.encrypt(key, usage, secret_storage.to_base64(seed))
            for usage, seed in asdict(self).items()
        }
        draft = path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(sealed, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @classmethod
    def kept(cls, path: Path, key: bytes) -> Self | None:
        """The one of the file; None where there is none. Raises `IdentityError` where it cannot be read."""
        if not path.is_file():
            return None
        try:
            sealed = json.loads(path.read_text(encoding="utf-8"))
            return cls.opened(key, {usage: sealed[usage] for usage in USAGES})
        except (ValueError, KeyError, TypeError, secret_storage.SecretError) as error:
            raise IdentityError(
                f"{path} cannot be read with the key beside it. Put both back from one backup, or delete the folder "
                "and log in anew with the recovery key."
            ) from error

    @classmethod
    def opened(cls, key: bytes, sealed: Mapping[str, Any], prefix: str = "") -> Self:
        """From the encrypted seeds by usage; raises `SecretError`, `ValueError`."""
        return cls(
            *(
                secret_storage.from_base64(secret_storage.decrypt(key, prefix + usage, sealed[usage]))
                for usage in USAGES
            )
        )


def public_of(seed: bytes) -> str:
    """The public key that belongs to a seed."""
    raw = _key(seed).public_key().export_key(format="raw")
    assert isinstance(raw, bytes)  # noqa: S101 - asked for raw
    return secret_storage.to_base64(raw)


def has_signed(public: str, user: str, value: Mapping[str, Any], name: str | None = None) -> bool:
    """Whether a JSON object bears the valid signature of a key; its name is a device's id, or the key itself."""
    try:
        signature = secret_storage.from_base64(value["signatures"][user][f"ed25519:{name or public}"])
        key = eddsa.import_public_key(secret_storage.from_base64(public))
        eddsa.new(key, "rfc8032").verify(_canonical(value), signature)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _key(seed: bytes) -> ECC.EccKey:
    return ECC.construct(curve="Ed25519", seed=seed)


def _canonical(value: Mapping[str, Any]) -> bytes:
    """What is signed (Appendices, "Signing JSON")."""
    plain = {name: part for name, part in value.items() if name not in ("signatures", "unsigned")}
    return Api.to_canonical_json(plain).encode()
