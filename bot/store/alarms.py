"""Moments at which a plugin wants to be woken, one per key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert

from bot.clock import from_ms, to_ms
from bot.store.connection import Connection
from bot.store.tables import alarms


class AlarmRows:
    """A plugin's alarms within one transaction."""

    def __init__(self, connection: Connection, owner: str) -> None:
        self._connection, self._owner = connection, owner
        self.changed = False
        """Whether the schedule has to look again after the commit."""

    async def ring(self, key: str, at: datetime | None) -> None:
        """Wake the plugin's reconciler for `key` at `at`; None takes the alarm back."""
        mine = (alarms.c.owner == self._owner) & (alarms.c.key == key)
        due = (await self._connection.execute(select(alarms.c.due_ms).where(mine))).scalar_one_or_none()
        if due == (None if at is None else to_ms(at)):
            return
        self.changed = True
        if at is None:
            await self._connection.execute(delete(alarms).where(mine))
            return
        statement = insert(alarms).values(owner=self._owner, key=key, due_ms=to_ms(at))
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["owner", "key"], set_={"due_ms": to_ms(at)})
        )


async def earliest(connection: Connection) -> datetime | None:
    """When the next alarm is due."""
    due = (await connection.execute(select(func.min(alarms.c.due_ms)))).scalar_one_or_none()
    return None if due is None else from_ms(due)


async def take_due(connection: Connection, now: datetime) -> Sequence[tuple[str, str]]:
    """Take the alarms that are due, as (owner, key), and remove them.

    Nothing is lost if the process ends right after: the start of a process wakes every plugin's open keys.
    """
    query = delete(alarms).where(alarms.c.due_ms <= to_ms(now)).returning(alarms.c.owner, alarms.c.key)
    return [(row.owner, row.key) for row in await connection.execute(query)]
