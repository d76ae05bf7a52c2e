"""Who asks whether the bot is ready hears which part is not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy.exc import SQLAlchemyError

from bot.errors import ConfigError
from bot.health import Health, answers, serving, watch_loop
from bot.metrics import Metrics
from bot.testing.clock import FakeClock
from bot.unit import Transactions
from tests.unit.store import open_store

ANYWHERE = ("127.0.0.1", 0)


async def got(health: Health, path: str) -> tuple[int, Any]:
    async with (
        serving(ANYWHERE, answers(health, Metrics())) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.text())


def well() -> Health:
    clock = FakeClock()
    return Health(clock, logged_in=True, synced_at=clock.now())


def later(health: Health, seconds: int) -> Health:
    assert isinstance(health.clock, FakeClock)
    health.clock.advance(timedelta(seconds=seconds))
    return health


async def test_a_bot_to_which_nothing_is_missing_is_ready() -> None:
    status, answer = await got(later(well(), 120), "/health/ready")
    assert status == 200
    assert answer == {"ready": True, "parts": {"login": "ok", "sync": "ok", "store": "ok"}, "warnings": {}}


@pytest.mark.parametrize(
    ("health", "part", "why"),
    [
        (Health(FakeClock()), "login", "not logged in yet"),
        (Health(FakeClock(), logged_in=True), "sync", "the first sync is not through yet"),
        (later(well(), 121), "sync", "no sync for 121 s"),
    ],
)
async def test_a_bot_that_is_not_ready_says_which_part(health: Health, part: str, why: str) -> None:
    status, answer = await got(health, "/health/ready")
    assert (status, answer["ready"], answer["parts"][part]) == (503, False, why)


async def test_a_store_that_cannot_be_written_makes_it_unready_and_unsigned_keys_do_not() -> None:
    health = well()
    health.unsigned = "not signed"
    status, answer = await got(health, "/health/ready")
    assert (status, answer["warnings"]) == (200, {"identity": "not signed"})
    health.store = "database or disk is full"
    status, answer = await got(health, "/health/ready")
    assert (status, answer["parts"]["store"]) == (503, "the store cannot be written: database or disk is full")
    assert health.status() == "Not ready: the store cannot be written: database or disk is full"


async def test_a_bot_that_waits_for_its_homeserver_is_alive() -> None:
    assert await got(Health(FakeClock()), "/health/live") == (200, {"live": True})


async def test_the_metrics_are_served_as_text() -> None:
    status, text = await got(well(), "/metrics")
    assert status == 200
    assert "# TYPE breakout_bot_answer_seconds histogram" in text
    assert "_created" not in text


async def test_a_port_in_use_is_one_sentence() -> None:
    app = answers(well(), Metrics())
    async with serving(ANYWHERE, app) as port:
        assert port is not None
        with pytest.raises(ConfigError, match=rf"^metrics\.listen: port {port} at 127\.0\.0\.1 is in use"):
            async with serving(("127.0.0.1", port), answers(well(), Metrics())):
                pass
    with pytest.raises(ConfigError, match="Set an address of this machine"):
        async with serving(("203.0.113.7", 9469), answers(well(), Metrics())):
            pass


async def test_without_an_address_nothing_is_served() -> None:
    async with serving(None, answers(well(), Metrics())) as port:
        assert port is None


async def test_a_loop_that_is_held_up_is_late() -> None:
    late: list[float] = []
    second = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        if len(late) == 2:
            second.set()
            await asyncio.Event().wait()

    moments = iter([0.0, 1.0, 1.0, 4.5, 5.0])
    watching = asyncio.create_task(watch_loop(late.append, now=lambda: next(moments), sleep=sleep))
    await second.wait()
    watching.cancel()
    assert late == [0.0, 2.5]


async def test_a_full_disk_is_seen_with_the_first_write_that_fails_and_is_over_with_the_next(tmp_path: Path) -> None:
    health = well()
    async with open_store(tmp_path) as database:
        transactions = Transactions(
            database,
            health.clock,
            wake=lambda _owner, _key: None,
            room_has_mail=lambda _room, _urgency: None,
            alarms_changed=lambda: None,
            health=health,
        )
        async with transactions.open() as transaction:
            await transaction.connection.exec_driver_sql("PRAGMA max_page_count = 1")
        with pytest.raises(SQLAlchemyError):
            async with transactions.unit("plugin") as unit:
                await unit.alarms.ring("x" * 100_000, health.clock.now())
        assert health.parts()["store"] == "the store cannot be written: database or disk is full"
        async with transactions.open() as transaction:
            await transaction.connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        assert health.parts()["store"] == "ok"
