"""Secrets kept with the account at the homeserver, which cannot read them, and the recovery key that opens them.

Client-server API, "Secret storage" (`m.secret_storage.v1.aes-hmac-sha2`) and "Key representation".
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from functools import reduce
from operator import xor
from typing import Any

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF

from bot.errors import BotError

ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2"
KEY_LENGTH = 32

_HEADER = b"\x8b\x01"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class SecretError(BotError):
    """A recovery key was mistyped or opens something else, or what it opens is damaged; the text says which."""


def new_key() -> bytes:
    """A key for secrets."""
    return secrets.token_bytes(KEY_LENGTH)


def written(key: bytes) -> str:
    """The key as people keep it: the recovery key, in groups of four."""
    raw = _HEADER + key
    number, text = int.from_bytes(raw + bytes([_parity(raw)])), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def read(recovery_key: str) -> bytes:
    """The key that somebody typed. Raises `SecretError`."""
    number = 0
    for letter in "".join(recovery_key.split()):
        if letter not in _BASE58:
            raise SecretError(f"“{letter}” is in no recovery key: it has letters and digits without 0, O, I and l.")
        number = number * 58 + _BASE58.index(letter)
    length = len(_HEADER) + KEY_LENGTH + 1
    if number >= 1 << 8 * length:
        raise SecretError("The recovery key is too long: perhaps a part of it stands there twice.")
    raw = number.to_bytes(length)
    if not raw.startswith(_HEADER) or _parity(raw):
        raise SecretError("The recovery key is mistyped, or not whole.")
    return raw[len(_HEADER) : -1]


def _parity(raw: bytes) -> int:
    return reduce(xor, raw)


def encrypt(key: bytes, name: str, secret: str) -> dict[str, str]:
    """A secret under its name, readable with the key only."""
    counter = bytearray(secrets.token_bytes(16))
    counter[8] &= 0x7F  # bit 63: other implementations count with 64 bits
    return _sealed(key, name, secret.encode(), bytes(counter))


def decrypt(key: bytes, name: str, sealed: Any) -> str:
    """The secret. Raises `SecretError` where the key is another one or the secret is damaged: `fits` tells which."""
    try:
        counter, ciphertext, mac = (from_base64(sealed[part]) for part in ("iv", "ciphertext", "mac"))
        aes, authentic = _keys(key, name)
        if not hmac.compare_digest(hmac.digest(authentic, ciphertext, "sha256"), mac):
            raise SecretError("A secret is damaged, or its key is another one.")
        plain: bytes = AES.new(aes, AES.MODE_CTR, nonce=b"", initial_value=counter).decrypt(ciphertext)
        return plain.decode()
    except (KeyError, TypeError, ValueError) as error:
        raise SecretError("A secret is damaged.") from error


def description(key: bytes) -> dict[str, Any]:
    """The content of `m.secret_storage.key.…`, by which clients see whether a key is the right one."""
    sealed = encrypt(key, "", "\0" * 32)
    return {"algorithm": ALGORITHM, "iv": sealed["iv"], "mac": sealed["mac"]}


def fits(key: bytes, described: Mapping[str, Any]) -> bool:
    """Whether the key is the one of this description; one that does not tell is believed, as the specification says."""
    if "iv" not in described and "mac" not in described:
        return True
    try:
        counter, mac = from_base64(described["iv"]), from_base64(described["mac"])
        return hmac.compare_digest(from_base64(_sealed(key, "", b"\0" * 32, counter)["mac"]), mac)
    except (KeyError, TypeError, ValueError):
        return False


def _sealed(key: bytes, name: str, plain: bytes, counter: bytes) -> dict[str, str]:
    aes, authentic = _keys(key, name)
    ciphertext: bytes = AES.new(aes, AES.MODE_CTR, nonce=b"", initial_value=counter).encrypt(plain)
    mac = hmac.digest(authentic, ciphertext, "sha256")
    return {"iv": to_base64(counter), "ciphertext": to_base64(ciphertext), "mac": to_base64(mac)}


def _keys(key: bytes, name: str) -> tuple[bytes, bytes]:
    """The keys to encrypt and to authenticate with, of one secret."""
    both = HKDF(key, 2 * KEY_LENGTH, bytes(32), SHA256, context=name.encode())
    assert isinstance(both, bytes)  # noqa: S101 - one key is asked for
    return both[:KEY_LENGTH], both[KEY_LENGTH:]


def to_base64(raw: bytes) -> str:
    """Unpadded, as Matrix has it."""
    return base64.b64encode(raw).decode().rstrip("=")


def from_base64(text: str) -> bytes:
    """Padded or not; raises `ValueError`."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
