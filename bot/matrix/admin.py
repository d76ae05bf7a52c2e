"""What an admin of a Synapse may do for the bot: its account, and the limits that hold for it.

Source: Synapse's documentation, "Register users using a shared secret", "User Admin API".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from enum import Enum
from typing import Any
from urllib.parse import quote

from bot.errors import Permanent
from bot.matrix.http import Ask, path
from bot.matrix.ids import UserId, server_of

_IN_USE = "M_USER_IN_USE"


class Override(Enum):
    """What was set for one account instead of the limits that hold for everybody."""

    NONE = "the same as for everybody"
    LIFTED = "no limits"
    OTHER = "other limits"


async def register_by_secret(ask: Ask, user: UserId, password: str, display_name: str, secret: str) -> str | None:
    """Make an ordinary account, without logging in; its id, None where there is one. Raises `Permanent`, `Temporary`.

    The id is another one where the homeserver's name is not that of `user`.
    """
    where = "/_synapse/admin/v1/register"
    nonce = (await ask("GET", where)).text("nonce")
    localpart = _localpart(user)
    signed = f"{nonce}\0{localpart}\0{password}\0notadmin".encode()
    body = {
        "nonce": nonce,
        "username": localpart,
        "displayname": display_name,
        "password": password,
        "admin": False,
        "inhibit_login": True,
        "mac": hmac.new(secret.encode(), signed, hashlib.sha1).hexdigest(),
    }
    try:
        made = await ask("POST", where, body)
    except Permanent as refused:
        if refused.errcode == _IN_USE:
            return None
        raise
    return made.text("user_id")


async def register_as_service(ask: Ask, user: UserId) -> bool:
    """Make an account of an application service, asked with its token; False where there is one."""
    body = {"type": "m.login.application_service", "username": _localpart(user), "inhibit_login": True}
    try:
        await ask("POST", path("register"), body)
    except Permanent as refused:
        if refused.errcode == _IN_USE:
            return False
        raise
    return True


async def account_exists(ask: Ask, user: UserId) -> bool:
    """Whether there is such an account (asked as an admin)."""
    try:
        await ask("GET", _user(user))
    except Permanent as refused:
        if refused.status == 404:  # noqa: PLR2004
            return False
        raise
    return True


async def register_as_admin(ask: Ask, user: UserId, password: str, display_name: str) -> None:
    """Make an ordinary account, or set the password of the one that there is and leave its devices signed in."""
    await ask("PUT", _user(user), {"password": password, "logout_devices": False, "displayname": display_name})


async def is_admin(ask: Ask, me: UserId) -> bool:
    """Whether the account that asks is an admin. Raises `Permanent`, `Foreign` where there is no admin API."""
    try:
        await ask("GET", _user(me))
    except Permanent as refused:
        if refused.errcode == "M_FORBIDDEN":
            return False
        raise
    return True


async def limits_of(ask: Ask, user: UserId) -> Override:
    """What limits an admin set for the account."""
    found: Mapping[str, Any] = (await ask("GET", _limits(user))).json
    if not found:
        return Override.NONE
    values = (found.get("messages_per_second"), found.get("burst_count"))
    return Override.LIFTED if all(value in (0, None) for value in values) else Override.OTHER


async def lift_limits(ask: Ask, user: UserId) -> None:
    """Have no limits hold for the account."""
    await ask("POST", _limits(user), {"messages_per_second": 0, "burst_count": 0})


def _localpart(user: UserId) -> str:
    return user[1 : -len(server_of(user)) - 1]


def _user(user: UserId) -> str:
    return f"/_synapse/admin/v2/users/{quote(user, safe='')}"


def _limits(user: UserId) -> str:
    return f"/_synapse/admin/v1/users/{quote(user, safe='')}/override_ratelimit"
