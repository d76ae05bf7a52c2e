"""Who is concerned by a transaction is woken once it is committed, and only then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.testing.clock import FakeClock
from bot.unit import Transactions
from tests.unit.store import open_store


async def test_what_was_committed_while_its_task_was_cancelled_wakes_all_the_same(tmp_path: Path) -> None:
    woken: list[str] = []
    async with open_store(tmp_path) as database:
        transactions = Transactions(
            database,
            FakeClock(),
            wake=lambda _owner, key: woken.append(key),
            room_has_mail=lambda _room, _urgency: None,
            alarms_changed=lambda: None,
        )

        async def write() -> None:
            async with transactions.unit("plugin") as unit:
                unit.wake("key")
                asyncio.get_running_loop().call_soon(task.cancel)

        task = asyncio.create_task(write())
        with pytest.raises(asyncio.CancelledError):
            await task
    assert woken == ["key"]
