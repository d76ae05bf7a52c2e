"""Logs the bot in and has other people's clients know its device; run once, and again whenever that is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bot.clock import SystemClock
from bot.config import Config, read_config
from bot.credentials import Credentials, key_store, renewed, service_of
from bot.errors import BotError, ConfigError, MatrixError
from bot.explained import in_words, lifting, other_name, with_config
from bot.loader import load, owners
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.cross_signing import Account, new_recovery, note_recovery, set_up
from bot.matrix.devices import Device, leftovers, remove
from bot.matrix.http import asking
from bot.matrix.ids import UserId
from bot.matrix.server import about, server_name, too_old
from bot.store.database import FILE, Database
from bot.store.migrate import refuse_newer

NAMED = 5
"""So many old devices are named one by one."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the admin asked for besides."""

    recovery_key_file: Path | None = None
    new_identity: bool = False
    new_recovery_key: bool = False
    remove_old_devices: bool = False


async def login(path: Path | None, wishes: Wishes) -> None:
    """Log in, sign the device, and print the recovery key where a new one was made: it is shown this once.

    Raises `BotError` with one sentence that says what to do.
    """
    await log_in(read_config(path), wishes)


async def log_in(config: Config, wishes: Wishes) -> None:
    """The same with settings that were read."""
    if wishes.recovery_key_file and wishes.new_identity:
        raise ConfigError("A recovery key keeps the identity, and --new-identity replaces it: give one of the two.")
    recovery_key = _read(wishes.recovery_key_file) if wishes.recovery_key_file else None
    url = str(config.homeserver.url).rstrip("/")
    try:
        await look_around(config)
        database = await Database.open(config.store.path)  # a second process must not use the device's keys
        try:
            await _Login(config, url).carry_out(wishes, recovery_key)
        finally:
            await database.close()
    except MatrixError as error:
        raise BotError(in_words(url, error)) from error


async def look_around(config: Config) -> None:
    """Before anything is made: raise where the store is a newer version's, or no homeserver that will do answers."""
    refuse_newer(config.store.path / FILE, owners(load(config.plugins)))
    async with asking(str(config.homeserver.url).rstrip("/")) as ask:
        found = await about(ask)
        wrong = other_name(config.homeserver.user_id, await server_name(ask))
    if not found.is_new_enough:
        raise BotError(too_old(found))
    if wrong:
        raise ConfigError(wrong)


class _Login:
    """One run of the command."""

    def __init__(self, config: Config, url: str) -> None:
        self._config, self._url = config, url
        self._console = Console(highlight=False, soft_wrap=True)
        secret = config.homeserver.password
        self._password = secret.get_secret_value() if secret else None

    async def carry_out(self, wishes: Wishes, recovery_key: str | None) -> None:
        login, lost = await renewed(self._config.homeserver, self._config.store.path)
        if lost is not None:
            self._say(f"The homeserver had signed the bot's device {lost.device_id} out: this is a new login.")
        self._say(f"Logged in at {self._url} as {login.user_id}, device {login.device_id}.")
        keys = key_store(self._config.store.path)
        async with NioHomeserver.connect(
            self._url, login.user_id, login.device_id, login.access_token, SystemClock(), keys
        ) as account:
            account.requests.service = service_of(self._config.homeserver, login)
            signer = await account.signer(keys)
            await self._sign(signer, wishes, recovery_key)
            self._say(self._limits(await account.find_limits()))
            if wishes.new_recovery_key or not await account.has_recovery(keys):
                self._show(await new_recovery(signer))
                note_recovery(signer)
            else:
                self._say("Its recovery key was shown before; --new-recovery-key makes another one.")
        await self._old_devices(login, away=wishes.remove_old_devices)

    async def _sign(self, signer: Account, wishes: Wishes, recovery_key: str | None) -> None:
        needed = await set_up(signer, password=self._password, recovery_key=recovery_key, anew=wishes.new_identity)
        self._say("Other people's apps see that this device is the bot's own.")
        if recovery_key is not None:
            how = "has restored the identity" if needed else "was not needed: the data folder has the identity"
            self._say(f"The recovery key is the right one; it {how}.")

    def _limits(self, per_second: float | None) -> str:
        if per_second is None:
            return "The homeserver sets the bot no limits that large sessions would feel."
        return (
            f"The homeserver lets the bot make {per_second * 60:.0f} requests a minute: large sessions take minutes to "
            "start. An admin of the homeserver lifts that by `breakout-bot register --admin-token-file FILE`, or by "
            f"one call:\n    {lifting(self._url, self._config.homeserver.user_id)}"
        )

    async def _old_devices(self, login: Credentials, *, away: bool) -> None:
        """Devices pile up: each lost data folder leaves one, to which other people's apps go on encrypting."""
        name = self._config.homeserver.device_name
        async with asking(self._url, login.access_token) as ask:
            old = await leftovers(ask, name, login.device_id)
            if old and away:
                await remove(ask, UserId(login.user_id), old, self._password)
        if not old:
            if away:
                self._say(f"The account has no other devices named “{name}”.")
            return
        if away:
            self._say(f"Removed: {_named(old)}.")
        else:
            self._say(
                f"The account has {len(old)} more named “{name}”, left over from lost data folders: {_named(old)}. "
                "Unless another bot uses them, remove them: `breakout-bot login --remove-old-devices`"
            )

    def _show(self, recovery_key: str) -> None:
        self._say("\nThe recovery key, shown this once:\n")
        self._console.print(f"    {recovery_key}\n", style="bold")
        self._say("Keep it where you keep passwords. With it the bot keeps its identity when its data folder is lost:")
        self._say("    breakout-bot login --recovery-key-file FILE")

    def _say(self, text: str) -> None:
        self._console.print(with_config(text, self._config.file), markup=False)


def _named(devices: Sequence[Device]) -> str:
    named = [d.name + (f" (last seen {d.seen:%Y-%m-%d})" if d.seen else "") for d in devices[:NAMED]]
    return ", ".join(named) + (f" and {len(devices) - NAMED} more" if len(devices) > NAMED else "")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{file} cannot be read ({why}): name the file that holds the recovery key.") from error
