"""What the account of the bot says: whether it is logged in, how others see it, how fast it may work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bot.checks.finding import Finding
from bot.checks.rooms import rooms
from bot.config import Config
from bot.credentials import Credentials, existing_key_store, is_accepted, kept
from bot.credentials import credentials as credentials_of
from bot.errors import BotError, Foreign, MatrixError, Permanent, Temporary
from bot.explained import in_words, lifting, promoting
from bot.matrix.admin import Override, is_admin, limits_of
from bot.matrix.client import LIMITS
from bot.matrix.crypto.cross_signing import Chain, as_others_see_it, has_recovery
from bot.matrix.devices import leftovers
from bot.matrix.events import mapping
from bot.matrix.http import Ask, asking, path
from bot.matrix.ids import UserId
from bot.matrix.server import room_versions

GOOD_ROOM_VERSIONS = frozenset({"10", "11", "12"})
"""Those that the bot can make, and knows the rules of."""


@dataclass(frozen=True, slots=True)
class _Place:
    config: Config
    url: str
    me: UserId
    login: Credentials
    ask: Ask
    needs_admin: Sequence[str]


async def account(config: Config, admin_token: str | None, needs_admin: Sequence[str] = ()) -> AsyncIterator[Finding]:
    """What was found; nobody is logged in for it, and nothing is changed.

    `needs_admin` are the settings for which the account must be an admin of the homeserver.
    """
    url = str(config.homeserver.url).rstrip("/")
    try:
        login = await _login(config)
        if isinstance(login, Finding):
            yield login
            return
        me = UserId(login.user_id)
        yield Finding("login", ok=True, message=f"logged in as {me}, device {login.device_id}")
        async with asking(url, login.access_token) as ask:
            place = _Place(config, url, me, login, ask, needs_admin)
            async for finding in _all(place, admin_token):
                yield finding
    except MatrixError as error:
        yield Finding("login", ok=False, message=in_words(url, error))
    except BotError as error:
        yield Finding("login", ok=False, message=str(error))


async def _login(config: Config) -> Credentials | Finding:
    """The login, or what is the matter with it."""
    if config.homeserver.access_token is not None:
        return await credentials_of(config.homeserver, config.store.path)
    login = kept(config.homeserver, config.store.path)
    if login is None:
        remedy = "run `breakout-bot login`"
        if config.homeserver.password is None:
            remedy = f"make the account with `breakout-bot register`; or give homeserver.password_file, and {remedy}"
        return Finding("login", ok=False, message="the bot has not logged in yet", remedy=remedy)
    if not await is_accepted(config.homeserver, login):
        return Finding(
            "login",
            ok=False,
            message=f"the homeserver has signed the bot's device {login.device_id} out",
            remedy="put the account's password into the settings, and run `breakout-bot login`",
        )
    return login


async def _all(place: _Place, admin_token: str | None) -> AsyncIterator[Finding]:
    yield _room_versions(await room_versions(place.ask))
    chain = await as_others_see_it(place.ask, place.me, place.login.device_id)
    yield _identity(chain)
    if chain.holds and not await _has_recovery(place):
        yield Finding(
            "recovery",
            ok=False,
            message="nobody was shown the recovery key: a lost data folder would cost the bot its identity",
            remedy="run `breakout-bot login`, and keep what it shows",
        )
    yield await _limits(place, admin_token)
    for setting in place.needs_admin:
        yield await _admin(place, setting)
    old = await leftovers(place.ask, place.config.homeserver.device_name, place.login.device_id)
    if old:
        yield Finding(
            "devices",
            ok=True,
            message=f"the account has {len(old)} more devices of this name, perhaps left over from lost data folders",
            remedy="unless another bot uses them: `breakout-bot login --remove-old-devices`",
        )
    async for finding in rooms(place.ask, place.me):
        yield finding


async def _has_recovery(place: _Place) -> bool:
    keys = existing_key_store(place.config.store.path)
    return keys is not None and await has_recovery(place.ask, place.me, keys)


def _room_versions(found: frozenset[str]) -> Finding:
    good = sorted(found & GOOD_ROOM_VERSIONS, key=int)
    if good:
        return Finding("room-version", ok=True, message=f"it makes rooms of version {', '.join(good)}")
    return Finding(
        "room-version",
        ok=False,
        message="the homeserver cannot make rooms of version 10 or newer, which let moderators in by a link",
        remedy="have it updated to one with Matrix 1.3 or newer; every Synapse since 2023 will do",
    )


def _identity(chain: Chain) -> Finding:
    """What other people's apps find; strict ones have nothing to do with a device that its owner did not sign."""
    if chain.holds:
        message = "encrypted rooms: other people's apps know this device as the bot's own"
        return Finding("identity", ok=True, message=message)
    missing = {
        "the homeserver has no keys of the device": chain.device,
        "the account has no identity": chain.master,
        "its self-signing key is not signed": chain.self_signing,
        "the device is not signed": chain.signed,
    }
    first = next(text for text, there in missing.items() if not there)
    return Finding(
        "identity",
        ok=False,
        message=f"encrypted rooms: other people's apps do not trust the bot, since {first}",
        remedy="run `breakout-bot login`",
    )


async def _admin(place: _Place, setting: str) -> Finding:
    try:
        if await is_admin(place.ask, place.me):
            return Finding("admin", ok=True, message=f"the bot's account is an admin of the homeserver, for {setting}")
    except (Permanent, Foreign):
        return Finding(
            "admin",
            ok=False,
            message=f"{setting} does nothing here: the homeserver is no Synapse, or a proxy keeps its admin API back",
            remedy="have the proxy pass /_synapse/admin on for the bot, set homeserver.url to Synapse's own address, "
            "or take the setting out",
        )
    return Finding(
        "admin",
        ok=False,
        message=f"{setting} does nothing yet: the bot's account is no admin of the homeserver",
        remedy=f"have an admin make it one: {promoting(place.url, place.me)}; or take the setting out",
    )


async def _limits(place: _Place, admin_token: str | None) -> Finding:
    """From an admin if one lets us ask, else as `login` found them: to find out anew would disturb a running bot."""
    unlimited = Finding(
        "limits", ok=True, message="the homeserver sets the bot no limits that large sessions would feel"
    )
    if place.config.homeserver.appservice_token is not None:
        return Finding("limits", ok=True, message="no limits hold for the application service that the bot belongs to")
    if admin_token is not None:
        async with asking(place.url, admin_token) as ask:
            try:
                if await limits_of(ask, place.me) is Override.LIFTED:
                    return Finding("limits", ok=True, message="an admin has lifted the homeserver's limits for the bot")
            except (Permanent, Temporary) as refused:
                return Finding(
                    "limits", ok=False, message=f"the admin's token is of no use: {in_words(place.url, refused)}"
                )
    try:
        found = mapping((await place.ask("GET", path("user", place.me, "account_data", LIMITS))).json)
    except Permanent:
        message = "how fast the homeserver lets the bot work is not known yet"
        return Finding("limits", ok=False, message=message, remedy="run `breakout-bot login`, which finds it out")
    try:
        rate = float(found["per_second"])
    except (KeyError, TypeError, ValueError):
        return unlimited
    return Finding(
        "limits",
        ok=False,
        message=f"large sessions take minutes to start: the homeserver lets the bot make {rate * 60:.0f} requests a "
        "minute",
        remedy="have an admin lift that: `breakout-bot register --admin-token-file FILE`, or "
        f"{lifting(place.url, place.me)} and then `breakout-bot login`",
    )
