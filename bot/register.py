"""Makes the bot's account with what an admin of a Synapse has, lifts its limits, and logs it in; may be run again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr
from rich.console import Console

from bot.clock import Clock, SystemClock
from bot.config import Config, read_config
from bot.credentials import is_accepted, kept, write
from bot.errors import BotError, ConfigError, LoginLost, MatrixError, Permanent, RateLimited, StoreInUse
from bot.explained import in_words, with_config
from bot.login import Wishes, log_in, look_around
from bot.matrix.admin import (
    Override,
    account_exists,
    lift_limits,
    limits_of,
    register_as_admin,
    register_as_service,
    register_by_secret,
)
from bot.matrix.http import asking
from bot.matrix.ids import UserId
from bot.matrix.profile import complete_profile
from bot.store.database import Database

T = TypeVar("T")

TRIES = 5
"""Name and picture take two requests that a stock homeserver makes us wait for."""

PENDING = "registration.pending.json"
"""The password of an account that is being made, until it is logged in: a kill between the two costs nothing."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the admin gave, and wants."""

    shared_secret: str | None = None
    admin_token: str | None = None
    display_name: str = "Breakout rooms"
    new_password: bool = False
    show_password: bool = False


async def register(path: Path | None, means: Means) -> None:
    """Make what is missing of account, limits, login and profile. Raises `BotError` with what to do."""
    config = read_config(path)
    await _Registration(config, means).carry_out()


class _Registration:
    """One run of the command."""

    def __init__(self, config: Config, means: Means) -> None:
        self._config, self._means = config, means
        self._url, self._me = str(config.homeserver.url).rstrip("/"), UserId(config.homeserver.user_id)
        self._folder = config.store.path
        self._console = Console(highlight=False, soft_wrap=True)

    async def carry_out(self) -> None:
        try:
            await look_around(self._config)
            try:
                database = await Database.open(self._folder)  # two at once would make two passwords
            except StoreInUse:
                if self._means.admin_token is None or self._means.new_password:
                    raise
                await self._lift_meanwhile()
                return
            try:
                password = await self._account()
                await self._limits()
            finally:
                await database.close()
            await log_in(self._with(password), Wishes())
            (self._folder / PENDING).unlink(missing_ok=True)
            await self._profile()
        except LoginLost as error:
            raise BotError("The homeserver does not accept the admin's access token: take a new one.") from error
        except MatrixError as error:
            raise BotError(self._refused(error)) from error
        self._say(f"Next: `breakout-bot run`, then invite {self._me} to a room and type !breakout there.")

    async def _account(self) -> str | None:
        """Make the account where there is none; the password to log in with, None where it is logged in."""
        login = kept(self._config.homeserver, self._folder)
        if self._means.new_password and self._means.admin_token is None:
            raise ConfigError("A new password takes an admin: give --admin-token-file besides --new-password.")
        is_in = self._config.homeserver.access_token or (login and await is_accepted(self._config.homeserver, login))
        if is_in and not self._means.new_password:
            self._say(f"The account {self._me} exists, and the bot is logged in.")
            return None
        if self._config.homeserver.appservice_token is not None:
            await self._make_as_service(self._config.homeserver.appservice_token.get_secret_value())
            return None
        given = self._config.homeserver.password
        if given is None and self._means.shared_secret is None and self._means.admin_token is None:
            raise ConfigError(
                "To make the account, give --shared-secret-file (registration_shared_secret of the homeserver.yaml) or "
                "--admin-token-file (an admin's access token)."
            )
        under_way = self._under_way()
        password = given.get_secret_value() if given else under_way or secrets.token_urlsafe(32)
        if given is None and under_way is None:
            self._note(self._me, password)
        try:
            made = await self._make(password)
        except (Permanent, LoginLost):
            if under_way is None:
                (self._folder / PENDING).unlink(missing_ok=True)  # refused for certain: there is no such account
            raise
        if made:
            self._say(f"Made the account {self._me}.")
            if given is None and self._means.show_password:
                self._say(f"Its password, shown this once: {password}")
        elif given is None and under_way is None:
            (self._folder / PENDING).unlink()
            raise ConfigError(
                f"The account {self._me} exists, and its password is not in the settings: put it there "
                "(homeserver.password_file), or have a new one set by --new-password with --admin-token-file."
            )
        elif self._means.shared_secret or self._means.admin_token:
            self._say(f"The account {self._me} exists.")
        return password

    async def _make_as_service(self, token: str) -> None:
        async with asking(self._url, token) as ask:
            try:
                made = await register_as_service(ask, self._me)
            except (LoginLost, Permanent) as refused:
                raise ConfigError(
                    f"The homeserver does not take the application service ({str(refused).rstrip('.')}): see that its "
                    "homeserver.yaml names the registration file in app_service_config_files, and restart it."
                ) from None
        self._say(f"{'Made the account' if made else 'The account exists:'} {self._me}.")

    async def _make(self, password: str) -> bool:
        """Whether the account has this password now, since we made it so."""
        means, name = self._means, self._means.display_name
        if means.admin_token is not None:
            async with asking(self._url, means.admin_token) as ask:
                if await account_exists(ask, self._me) and not means.new_password:
                    return False
                await register_as_admin(ask, self._me, password, name)
                return True
        if means.shared_secret is None:
            return False  # it may exist: the login tells
        async with asking(self._url) as ask:
            made = await register_by_secret(ask, self._me, password, name, means.shared_secret)
        if made is not None and made != self._me:
            self._note(made, password)
            raise ConfigError(
                f"The homeserver has made {made}, since its server name is another one than that of {self._me}: set "
                f'`user_id: "{made}"` below homeserver, and run `breakout-bot register` again.'
            )
        return made is not None

    async def _limits(self) -> None:
        """Lift them if we may; the login says what is left of them."""
        if self._config.homeserver.appservice_token is not None or self._means.admin_token is None:
            return
        async with asking(self._url, self._means.admin_token) as ask:
            if await limits_of(ask, self._me) is not Override.LIFTED:
                await lift_limits(ask, self._me)
                self._say("Lifted the homeserver's limits for the bot.")

    async def _lift_meanwhile(self) -> None:
        """The limits alone, which is what an admin's token is for while the bot runs."""
        await self._limits()
        self._say(
            "No limits of the homeserver hold for the bot. It runs, and notices that within ten minutes; its account, "
            "name and login were not looked at."
        )

    async def _profile(self) -> None:
        login = kept(self._config.homeserver, self._folder)
        secret = self._config.homeserver.access_token
        token = secret.get_secret_value() if secret else login and login.access_token
        if not token:
            return
        picture = files("bot").joinpath("avatar.png").read_bytes()
        async with asking(self._url, token) as ask:
            try:
                changed = await _patiently(
                    lambda: complete_profile(ask, self._me, self._means.display_name, picture), SystemClock()
                )
            except Permanent as refused:
                self._say(f"Its name or picture could not be set: {refused.message}")
                return
        if changed:
            self._say(f"Set its {' and '.join(changed)}.")

    def _refused(self, error: MatrixError) -> str:
        said = in_words(self._url, error)
        if not isinstance(error, Permanent):
            return said
        if error.errcode == "M_UNRECOGNIZED":
            name = self._me[1:].partition(":")[0]
            return (
                "The homeserver does not make accounts this way: it is no Synapse, or has the Matrix Authentication "
                f"Service, where `mas-cli manage register-user {name} --yes` makes the account; what `mas-cli manage "
                f"issue-compatibility-token {name}` prints goes into the file of homeserver.access_token_file."
            )
        if "HMAC" in error.message:
            return "The shared secret is not the homeserver's: take registration_shared_secret of its homeserver.yaml."
        if "not enabled" in error.message:
            return (
                "The homeserver has no registration_shared_secret: set one in its homeserver.yaml and restart it, or "
                "give --admin-token-file."
            )
        if "not a server admin" in error.message:
            return "The access token is not an admin's: take the one of an account that is an admin of the homeserver."
        return said

    def _under_way(self) -> str | None:
        """The password of an account that a run before this one was making."""
        try:
            found = json.loads((self._folder / PENDING).read_text(encoding="utf-8"))
            return str(found["password"]) if found["user_id"] == self._me else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _note(self, user: str, password: str) -> None:
        write(self._folder / PENDING, json.dumps({"user_id": user, "password": password}))

    def _with(self, password: str | None) -> Config:
        """The settings with a password that they do not have."""
        if password is None:
            return self._config
        return self._config.model_copy(
            update={"homeserver": self._config.homeserver.model_copy(update={"password": SecretStr(password)})}
        )

    def _say(self, text: str) -> None:
        self._console.print(with_config(text, self._config.file), markup=False)


async def _patiently(call: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """What `call` returns, asked again when the homeserver lets us: a stock one has just shown how fast it is."""
    for _ in range(TRIES - 1):
        try:
            return await call()
        except RateLimited as limited:
            await clock.sleep_until(clock.now() + (limited.retry_after or timedelta()))
    return await call()
