"""An event is handled once: tried again where the store fails for now, and done where it fails beyond repair."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from bot.commands.match import Registry
from bot.dispatch import Dispatcher, Running
from bot.loader import load
from bot.matrix.events import Message, SyncBatch
from bot.matrix.ids import EventId, RoomId, UserId
from bot.metrics import Metrics
from bot.plugin import Call, Host, NoConfig, Plugin, Standing, Unit
from bot.store.database import Database
from bot.store.inbox import Inbox
from bot.testing.clock import FakeClock
from bot.unit import Transactions
from tests.unit.store import open_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOM, ANN = RoomId("!r:x"), UserId("@ann:x")
DISK_IS_FULL = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
assert DISK_IS_FULL.orig
DISK_IS_FULL.orig.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[attr-defined]


class Stumbling:
    """A plugin that asks the store for what it does not have, and for which the disk is full meanwhile."""

    def __init__(self) -> None:
        self.is_full = False
        self.plugin: Plugin[None] = Plugin("stumbling", "Stumbles.", NoConfig, _lifespan, standing=self._standing)
        self.plugin.on(Message)(self._heard)
        self.plugin.command("stumble")(self._stumble)

    async def _standing(self, _state: None, unit: Unit, _room: RoomId, _user: UserId) -> Standing | None:
        await self._ask(unit)
        return None

    async def _heard(self, _state: None, unit: Unit, _message: Message) -> None:
        await self._ask(unit)

    async def _stumble(self, _call: Call[None]) -> None:
        """Nothing."""

    async def _ask(self, unit: Unit) -> None:
        if self.is_full:
            raise DISK_IS_FULL
        await unit.connection.execute(text("SELECT * FROM nowhere"))


@asynccontextmanager
async def _lifespan(_host: Host) -> AsyncIterator[None]:
    yield


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_store(tmp_path) as database:
        yield database


@pytest.mark.parametrize("body", ["hello", "!stumble"])
async def test_the_store_holds_an_event_up_only_while_it_fails_for_now(
    database: Database, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    module, stumbling = ModuleType("plugins.stumbling"), Stumbling()
    module.plugin = stumbling.plugin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugins.stumbling", module)
    loaded = load({"stumbling": None})
    transactions = Transactions(
        database,
        FakeClock(),
        wake=lambda _owner, _key: None,
        room_has_mail=lambda _room, _urgency: None,
        alarms_changed=lambda: None,
    )
    running = [Running(plugin, None) for plugin in loaded]
    dispatcher = Dispatcher(running, Registry(loaded, "!"), transactions, "!", Metrics())

    async def accept() -> None:
        """As a batch of sync is taken in."""
        message = Message(EventId("$1"), ROOM, ANN, NOW, "m.text", body)
        async with transactions.open() as transaction:
            await Inbox(transaction.connection).accept(SyncBatch("token"), [message], NOW)
            await dispatcher.take(transaction)

    stumbling.is_full = True
    with pytest.raises(OperationalError):
        await accept()
    async with database.read() as connection:
        assert await Inbox(connection).token() is None
        assert await Inbox(connection).is_worked_off()
    stumbling.is_full = False
    await accept()
    async with database.read() as connection:
        assert await Inbox(connection).token() == "token"
        assert await Inbox(connection).is_worked_off()
        assert await Inbox(connection).event("$1") is not None
