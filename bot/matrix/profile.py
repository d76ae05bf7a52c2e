"""The name and the picture of the account, as people see them; what somebody has chosen stays."""

from __future__ import annotations

from bot.errors import Permanent
from bot.matrix.http import Ask, path
from bot.matrix.ids import UserId, server_of


async def complete_profile(ask: Ask, me: UserId, name: str, picture: bytes) -> tuple[str, ...]:
    """Set what is missing, and say what that was. Raises `Permanent`, `Temporary`."""
    try:
        known = (await ask("GET", path("profile", me))).json
    except Permanent as refused:
        if refused.status != 404:  # noqa: PLR2004
            raise
        known = {}
    changed = []
    localpart = me[1 : -len(server_of(me)) - 1]
    if known.get("displayname") in (None, "", localpart) and name != localpart:
        await ask("PUT", path("profile", me, "displayname"), {"displayname": name})
        changed.append("name")
    if not known.get("avatar_url"):
        uploaded = await ask("POST", "/_matrix/media/v3/upload", picture, {"filename": "avatar.png"})
        await ask("PUT", path("profile", me, "avatar_url"), {"avatar_url": uploaded.text("content_uri")})
        changed.append("picture")
    return tuple(changed)
