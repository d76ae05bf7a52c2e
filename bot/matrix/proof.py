"""Asks for what only the owner of the account may do, with the password as the proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.errors import BotError, Interactive
from bot.matrix.events import mapping
from bot.matrix.http import Ask
from bot.matrix.ids import UserId


class ProofError(BotError):
    """The homeserver wants a password that we do not have, or takes not the one that we have."""


async def ask_as_owner(ask: Ask, me: UserId, where: str, body: Mapping[str, Any], password: str | None) -> None:
    """POST, and once more with the password where the homeserver asks for it; `ProofError` says what is missing."""
    try:
        await ask("POST", where, body)
    except Interactive as wanted:
        if not any("m.login.password" in (mapping(flow).get("stages") or ()) for flow in wanted.flows):
            raise ProofError(
                "The homeserver wants this allowed in a browser, on the pages of its Matrix Authentication Service: "
                "sign in there as the bot, allow it, and run `breakout-bot login` again."
            ) from None
        if password is None:
            raise ProofError(
                "The homeserver wants the account's password for this: put it into the settings "
                "(homeserver.password_file), and run `breakout-bot login` again, with the same options."
            ) from None
        proof = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": me},
            "password": password,
            "session": wanted.session,
        }
        try:
            await ask("POST", where, {**body, "auth": proof})
        except Interactive as refused:
            raise ProofError(f"The homeserver does not take the password for this: {refused.message}.") from None
