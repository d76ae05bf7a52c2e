"""An alarm rings at its moment, once, even if the clock was set or the process slept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.clock import SystemClock
from bot.schedule import ClockBell, Schedule, SchedulerBell
from bot.store.alarms import AlarmRows
from bot.store.database import Database
from bot.testing.clock import FakeClock
from tests.unit.store import open_store


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_store(tmp_path) as database:
        yield database


@asynccontextmanager
async def running(schedule: Schedule) -> AsyncIterator[Schedule]:
    task = asyncio.create_task(schedule.run())
    try:
        await schedule.idle()
        yield schedule
    finally:
        task.cancel()
        await asyncio.wait({task})


class Rung(list[tuple[str, str]]):
    """What rang."""

    def __call__(self, owner: str, key: str) -> None:
        self.append((owner, key))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rung() -> Rung:
    return Rung()


@pytest.fixture
async def schedule(database: Database, clock: FakeClock, rung: Rung) -> AsyncIterator[Schedule]:
    async with running(Schedule(database, clock, rung, ClockBell(clock))) as schedule:
        yield schedule


async def set_alarm(database: Database, key: str, at: datetime | None, owner: str = "test") -> bool:
    async with database.write() as connection:
        alarms = AlarmRows(connection, owner)
        await alarms.ring(key, at)
    return alarms.changed


async def test_alarms_ring_at_their_moment_and_once(
    database: Database, clock: FakeClock, schedule: Schedule, rung: Rung
) -> None:
    for key, after in (("later", 20), ("soon", 10)):
        await set_alarm(database, key, clock.now() + minutes(after))
        schedule.changed()
    await schedule.idle()
    for step, expected in ((9.9, []), (0.1, ["soon"]), (10, ["soon", "later"]), (60, ["soon", "later"])):
        clock.advance(minutes(step))
        await schedule.idle()
        assert [key for _, key in rung] == expected


async def test_the_last_moment_for_a_key_counts(
    database: Database, clock: FakeClock, schedule: Schedule, rung: Rung
) -> None:
    for after in (5, 30, 10):
        assert await set_alarm(database, "end", clock.now() + minutes(after))
        schedule.changed()
        await schedule.idle()
    clock.advance(minutes(9))
    await schedule.idle()
    assert rung == []
    clock.advance(minutes(1))
    await schedule.idle()
    assert rung == [("test", "end")]


async def test_an_alarm_taken_back_does_not_ring(
    database: Database, clock: FakeClock, schedule: Schedule, rung: Rung
) -> None:
    await set_alarm(database, "end", clock.now() + minutes(5))
    await set_alarm(database, "end", None)
    schedule.changed()
    clock.advance(minutes(10))
    await schedule.idle()
    assert rung == []


async def test_setting_the_same_moment_again_changes_nothing(database: Database, clock: FakeClock) -> None:
    assert await set_alarm(database, "end", clock.now())
    assert not await set_alarm(database, "end", clock.now())
    assert not await set_alarm(database, "other", None)


async def test_owners_have_alarms_of_their_own(
    database: Database, clock: FakeClock, schedule: Schedule, rung: Rung
) -> None:
    for owner in ("one", "two"):
        await set_alarm(database, "end", clock.now(), owner)
    schedule.changed()
    await schedule.idle()
    assert sorted(rung) == [("one", "end"), ("two", "end")]


async def test_what_fell_due_while_nothing_ran_rings_at_the_start(
    database: Database, clock: FakeClock, rung: Rung
) -> None:
    await set_alarm(database, "end", clock.now() - minutes(60))
    async with running(Schedule(database, clock, rung, ClockBell(clock))):
        assert rung == [("test", "end")]


async def test_a_store_that_fails_for_a_while_is_asked_again(
    database: Database, clock: FakeClock, rung: Rung, schedule: Schedule
) -> None:
    await set_alarm(database, "end", clock.now())
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE alarms RENAME TO hidden")
    with capture_logs() as logs:
        schedule.changed()
        await schedule.idle()
    assert [entry["log_level"] for entry in logs] == ["error"]
    async with database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE hidden RENAME TO alarms")
    clock.advance(minutes(1))
    await schedule.idle()
    assert rung == [("test", "end")]


# --- the real bell


@asynccontextmanager
async def ringing(moments: Callable[[datetime], list[datetime | None]]) -> AsyncIterator[asyncio.Event]:
    rang = asyncio.Event()
    bell = SchedulerBell()
    bell.start(rang.set)
    try:
        for moment in moments(datetime.now(UTC)):
            bell.set(moment)
        yield rang
    finally:
        bell.stop()


@pytest.mark.parametrize("after", [-3600.0, 0.02], ids=["long past", "soon"])
async def test_the_bell_rings_at_its_moment_also_if_that_is_past(after: float) -> None:
    async with ringing(lambda now: [now + timedelta(seconds=after)]) as rang, asyncio.timeout(10):
        await rang.wait()


async def test_the_bell_rings_for_the_last_moment_set() -> None:
    far = timedelta(hours=1)
    async with ringing(lambda now: [now + far, None, now + 2 * far, now]) as rang, asyncio.timeout(10):
        await rang.wait()


async def test_the_schedule_works_with_the_real_bell(database: Database, rung: Rung) -> None:
    done = asyncio.Event()

    def ring(owner: str, key: str) -> None:
        rung(owner, key)
        done.set()

    async with running(Schedule(database, SystemClock(), ring)) as schedule, asyncio.timeout(10):
        await set_alarm(database, "end", datetime.now(UTC) + timedelta(seconds=0.05))
        schedule.changed()
        await done.wait()
    assert rung == [("test", "end")]


# --- the clock of the tests


async def test_sleepers_wake_in_the_order_of_their_moments(clock: FakeClock) -> None:
    woke: list[int] = []

    async def sleep(number: int) -> None:
        await clock.sleep_until(clock.now() + minutes(number))
        woke.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in (3, 1, 2):
            tasks.create_task(sleep(number))
        await asyncio.sleep(0)
        assert clock.next_moment == clock.now() + minutes(1)
        clock.advance(minutes(2))
        for _ in range(3):
            await asyncio.sleep(0)
        assert woke == [1, 2]
        clock.advance(minutes(1))
    assert woke == [1, 2, 3]
    assert clock.next_moment is None
