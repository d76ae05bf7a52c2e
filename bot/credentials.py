"""The login that lasts: made once by password, kept in the data folder, the device and its keys always the same."""

from __future__ import annotations

import json
import os
import secrets
import string
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.config import HomeserverConfig
from bot.errors import ConfigError, LoginLost, MatrixError, Permanent, StoreError
from bot.explained import other_name
from bot.matrix.crypto.identity import KeyStore
from bot.matrix.http import Service, asking
from bot.matrix.logins import login_as_service, login_password, whoami
from bot.matrix.server import server_name, takes_passwords

KEPT = "session.json"
PENDING = "session.pending.json"
"""The device of a login that is under way: should its answer be lost, the next try is the same device."""

_LOST = "M_UNKNOWN_TOKEN"


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
    if config.access_token is not None:
        return await _by_token(config)
    return kept(config, folder) or await _anew(config, folder)


def service_of(config: HomeserverConfig, login: Credentials) -> Service | None:
    """The application service that acts for the bot, where the settings name one."""
    token = config.appservice_token
    return None if token is None else Service(token.get_secret_value(), login.user_id, login.device_id)


async def renewed(config: HomeserverConfig, folder: Path) -> tuple[Credentials, Credentials | None]:
    """A login that the homeserver accepts now, and the kept one that it replaces since that one was signed out.

    Raises `ConfigError`, `StoreError`, and what `bot.matrix` raises.
    """
    if config.access_token is not None:
        return await _by_token(config), None
    old = kept(config, folder)
    if old is None or await is_accepted(config, old):
        return old or await _anew(config, folder), None
    if config.password is None and config.appservice_token is None:
        raise ConfigError(
            f"The homeserver has signed the bot's device {old.device_id} out: put the account's password into the "
            "settings (homeserver.password_file), and run `breakout-bot login` again."
        )
    return await _anew(config, folder), old


async def is_accepted(config: HomeserverConfig, login: Credentials) -> bool:
    """Whether the homeserver still knows a login."""
    try:
        await whoami(str(config.url).rstrip("/"), login.access_token)
    except Permanent as refused:
        if refused.errcode == _LOST:
            return False
        raise
    return True


def kept(config: HomeserverConfig, folder: Path) -> Credentials | None:
    """The login of this account that the data folder has; a file that is damaged is none."""
    try:
        found = Credentials(**json.loads((folder / KEPT).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None
    except OSError as error:
        raise StoreError(
            f"{folder / KEPT} cannot be read ({error.strerror}): give the bot's user the right to."
        ) from None
    return found if found.user_id == config.user_id else None


def key_store(folder: Path) -> KeyStore:
    """Where the device's keys are kept, encrypted with a key that is made once and lies beside them."""
    place = folder / "crypto"
    key = place / "key"
    if not key.is_file():
        write(key, secrets.token_hex(32))
    return KeyStore(place, key.read_text(encoding="utf-8"))


def existing_key_store(folder: Path) -> KeyStore | None:
    """The same where it was made already; nothing is made."""
    key = folder / "crypto" / "key"
    return KeyStore(key.parent, key.read_text(encoding="utf-8")) if key.is_file() else None


def keep(folder: Path, made: Credentials) -> None:
    """Keep a login; the one that was under way is this one."""
    write(folder / KEPT, json.dumps(asdict(made)))
    (folder / PENDING).unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write whole or not at all, readable by us alone; `StoreError` where that cannot be."""
    draft = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written ({error.strerror}): see to free space there, and to the right to write."
        ) from None


async def _by_token(config: HomeserverConfig) -> Credentials:
    assert config.access_token is not None  # noqa: S101 - asked only where there is one
    token = config.access_token.get_secret_value()
    try:
        user, device = await whoami(str(config.url).rstrip("/"), token)
    except Permanent as refused:
        raise ConfigError(
            f"The homeserver refuses homeserver.access_token ({refused.message}): put a new one there, which belongs "
            "to a device that is signed in."
        ) from None
    if user != config.user_id:
        raise ConfigError(
            f"homeserver.access_token belongs to {user}, and homeserver.user_id says {config.user_id}: change one of "
            "them."
        )
    if not device:
        raise ConfigError(
            "homeserver.access_token belongs to no device, and encryption needs one: take the token of a login, such "
            "as `mas-cli manage issue-compatibility-token` prints."
        )
    return Credentials(user, device, token)


async def _anew(config: HomeserverConfig, folder: Path) -> Credentials:
    if config.password is None and config.appservice_token is None:
        raise ConfigError(
            "The bot has not logged in yet: give homeserver.password_file (or password), or access_token_file (or "
            "access_token), and run `breakout-bot login`; or make the account with `breakout-bot register`."
        )
    device = _device_under_way(config, folder)
    try:
        made = await _login(config, device)
    except (Permanent, LoginLost) as refused:
        (folder / PENDING).unlink(missing_ok=True)
        raise ConfigError(await _why_refused(config, refused)) from None
    keep(folder, made)
    return made


async def _login(config: HomeserverConfig, device: str) -> Credentials:
    """By the application service where there is one, else by password."""
    url, user = str(config.url).rstrip("/"), config.user_id
    if config.appservice_token is not None:
        token = config.appservice_token.get_secret_value()
        return Credentials(user, *await login_as_service(url, user, token, config.device_name, device))
    assert config.password is not None  # noqa: S101 - the caller has looked
    password = config.password.get_secret_value()
    return Credentials(user, *await login_password(url, user, password, config.device_name, device))


def _device_under_way(config: HomeserverConfig, folder: Path) -> str:
    """The device of a login whose answer was lost, else a new one; noted before the homeserver hears of it."""
    pending = folder / PENDING
    try:
        found = json.loads(pending.read_text(encoding="utf-8"))
        if found["user_id"] == config.user_id:
            return str(found["device_id"])
    except (OSError, ValueError, TypeError, KeyError):
        pass
    device = "".join(secrets.choice(string.ascii_uppercase) for _ in range(10))
    write(pending, json.dumps({"user_id": config.user_id, "device_id": device}))
    return device


async def _why_refused(config: HomeserverConfig, refused: MatrixError) -> str:
    """Some homeservers take no passwords from programs, and say only that they refuse."""
    url, user = str(config.url).rstrip("/"), config.user_id
    said = refused.message if isinstance(refused, Permanent) else str(refused)
    if config.appservice_token is not None:
        return (
            f"The homeserver does not let the application service log {user} in ({said.rstrip('.')}): see that its "
            "homeserver.yaml names the registration file in app_service_config_files, restart it, and run "
            "`breakout-bot register`."
        )
    with suppress(MatrixError):
        async with asking(url) as ask:
            if not await takes_passwords(ask):
                return (
                    "The homeserver takes no passwords from programs (it has the Matrix Authentication Service): put "
                    f"what `mas-cli manage issue-compatibility-token {user[1:].partition(':')[0]}` prints into a file, "
                    "and set homeserver.access_token_file to that."
                )
            if wrong := other_name(user, await server_name(ask)):
                return wrong
    return (
        f"The homeserver refuses the login of {user} ({said.rstrip('.')}): look at homeserver.user_id, its server name "
        "too, and homeserver.password, or make the account with `breakout-bot register`."
    )
