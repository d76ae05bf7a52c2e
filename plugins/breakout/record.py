"""The account's own note of which rooms are ours, ids only: what is left to go by where the store is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from bot.errors import Permanent, Temporary
from bot.matrix.ports import AccountData

log = structlog.get_logger(__name__)

TYPE = "org.breakoutbot.sessions"
"""The type of the account data: `{"mains": {main room: {"desk": …, "sessions": {session: {number: …}}}}}`."""


class Record:
    """Keeps the account data as the store is; a failure is made up for by the next change or start."""

    def __init__(self, account: AccountData) -> None:
        self._account = account
        self._mains: dict[str, Any] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, main: str, rooms: dict[str, Any] | None) -> None:
        """Note the rooms of a main room; None where there are none."""
        async with self._one_at_a_time:
            try:
                known = self._mains if self._mains is not None else await self._read()
                changed = {key: value for key, value in known.items() if key != main}
                if rooms is not None:
                    changed[main] = rooms
                if changed != known:
                    await self._account.set_account_data(TYPE, {"mains": changed})
                self._mains = changed
            except (Temporary, Permanent) as error:
                log.warning("the account's note of our rooms could not be kept", why=str(error))

    async def _read(self) -> dict[str, Any]:
        found = (await self._account.account_data(TYPE) or {}).get("mains")
        return dict(found) if isinstance(found, dict) else {}
