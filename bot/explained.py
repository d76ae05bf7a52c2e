"""Says in one sentence what a failure means to an admin, and what mends it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from bot.errors import Foreign, LoginLost, MatrixError, Permanent, RateLimited, Silent, Temporary, Unreachable

_COMMAND = re.compile(r"\bbreakout-bot (?:login|check|run|register|config)\b(?! --config)")


def with_config(text: str, config: Path | None) -> str:
    """The text, each of this program's commands in it completed by the settings file that was given."""
    if config is None:
        return text
    return _COMMAND.sub(lambda found: f"{found[0]} --config {shlex.quote(str(config))}", text)


def in_words(url: str, error: MatrixError) -> str:
    """What a call to the homeserver at `url` came to."""
    look = f"`curl {url}/_matrix/client/versions` must show JSON"
    match error:
        case RateLimited(retry_after=pause) if pause is not None:
            return (
                f"The homeserver at {url} asks to wait, since there were too many requests: try again in "
                f"{max(1, round(pause.total_seconds()))} seconds."
            )
        case Unreachable():
            other = "http" if url.startswith("https:") else "https"
            tls = f"whether it wants {other}:// instead, " if isinstance(error, Silent) else ""
            return (
                f"The homeserver at {url} does not answer: {error.reason}. See whether it runs, {tls}and whether "
                f"homeserver.url is its address: {look}."
            )
        case Foreign():
            return (
                f"What stands before the homeserver at {url} does not let a request through (HTTP {error.status}): a "
                "proxy must pass on /_matrix, and for what an admin does /_synapse/admin; or set homeserver.url to the "
                "homeserver's own address."
            )
        case Temporary():
            return (
                f"What answers at {url} is no Matrix homeserver, or a broken one: {error.reason}. See whether "
                f"homeserver.url is the address that clients use: {look}."
            )
        case LoginLost():
            return (
                f"The homeserver at {url} no longer accepts the bot's login: put the account's password into the "
                "settings and run `breakout-bot login`."
            )
        case Permanent(errcode="M_UNRECOGNIZED"):
            return (
                f"The homeserver at {url} does not know a request that the bot needs: it is too old, or a proxy lets "
                "only a part of Matrix through."
            )
        case _:
            said = error.message if isinstance(error, Permanent) else str(error)
            return f"The homeserver at {url} refuses: {said.rstrip('.')}."


def other_name(me: str, name: str | None) -> str:
    """What is wrong with the bot's user id on the homeserver of this name, where that is known; "" for nothing."""
    localpart, _, server = me[1:].partition(":")
    if name is None or name.lower() == server.lower():
        return ""
    return (
        f"The homeserver calls itself {name}, and homeserver.user_id says {server}. Set `user_id: "
        f'"@{localpart}:{name}"` below homeserver, or homeserver.url to the address of {server}.'
    )


def promoting(url: str, me: str) -> str:
    """The one call by which an admin of a Synapse makes the bot another one."""
    return (
        '`curl -X PUT -H "Authorization: Bearer $ADMIN_TOKEN" -d \'{"admin": true}\' '
        f'"{url}/_synapse/admin/v1/users/{me}/admin"`'
    )


def lifting(url: str, me: str) -> str:
    """The one call by which an admin of a Synapse lifts the limits."""
    return (
        '`curl -X POST -H "Authorization: Bearer $ADMIN_TOKEN" -d \'{"messages_per_second": 0, "burst_count": 0}\' '
        f'"{url}/_synapse/admin/v1/users/{me}/override_ratelimit"`'
    )
