"""The login that lasts: made once by password, kept in the data folder, the device and its keys always the same."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.config import HomeserverConfig
from bot.errors import ConfigError, Permanent
from bot.matrix.client import login_password, whoami
from bot.matrix.crypto.identity import KeyStore


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens the account."""

    user_id: str
    device_id: str
    access_token: str


async def credentials(config: HomeserverConfig, folder: Path) -> Credentials:
    """The kept login of this account, else a new one; `ConfigError` says what to mend where neither works.

    Stock servers allow five logins and then one in 333 s, and each login is a new device: so never at each start.
    """
    url = str(config.url).rstrip("/")
    if config.access_token is not None:
        token = config.access_token.get_secret_value()
        try:
            user, device = await whoami(url, token)
        except Permanent as refused:
            raise ConfigError(f"The homeserver refuses homeserver.access_token: {refused.message}") from None
        if user != config.user_id:
            raise ConfigError(f"homeserver.access_token belongs to {user}, not to homeserver.user_id {config.user_id}")
        return Credentials(user, device, token)
    kept = folder / "session.json"
    if kept.is_file():
        found = Credentials(**json.loads(kept.read_text(encoding="utf-8")))
        if found.user_id == config.user_id:
            return found
    if config.password is None:
        raise ConfigError(
            "homeserver: for the first login give `password` (or `password_file`), or `access_token` (or "
            "`access_token_file`)"
        )
    try:
        device, token = await login_password(
            url, config.user_id, config.password.get_secret_value(), config.device_name
        )
    except Permanent as refused:
        raise ConfigError(f"The homeserver refuses the login of {config.user_id}: {refused.message}") from None
    made = Credentials(config.user_id, device, token)
    _keep(kept, made)
    return made


def key_store(folder: Path) -> KeyStore:
    """Where the device's keys are kept, encrypted with a key that is made once and lies beside them."""
    place = folder / "crypto"
    key = place / "key"
    if not key.is_file():
        _write(key, secrets.token_hex(32))
    return KeyStore(place, key.read_text(encoding="utf-8"))


def _keep(path: Path, made: Credentials) -> None:
    _write(path, json.dumps(asdict(made)))


def _write(path: Path, text: str) -> None:
    """Write whole or not at all, readable by us alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
