"""One worker per key, woken as often as you like."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from bot.errors import LoginLost, RateLimited, Temporary
from bot.reconcile import LONGEST_PAUSE, Reconciler
from bot.testing.clock import FakeClock

Work = Callable[[str], Awaitable[datetime | None]]


def second(number: float) -> timedelta:
    return timedelta(seconds=number)


class Worker:
    """Notes its passes; each waits for the gate, and does what the test tells it to."""

    def __init__(self) -> None:
        self.passes: list[str] = []
        self.running: Counter[str] = Counter()
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.does: Work | None = None

    async def __call__(self, key: str) -> datetime | None:
        assert not self.running[key], "two passes over one key"
        self.passes.append(key)
        self.running[key] += 1
        self.most_running = max(self.most_running, self.running.total())
        try:
            await self.gate.wait()
            return await self.does(key) if self.does else None
        finally:
            self.running[key] -= 1


@asynccontextmanager
async def working(reconciler: Reconciler) -> AsyncIterator[Reconciler]:
    task = asyncio.create_task(reconciler.run())
    try:
        yield reconciler
    finally:
        task.cancel()
        await asyncio.wait({task})


async def turns() -> None:
    """Let everything run that can run."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
async def reconciler(worker: Worker, clock: FakeClock) -> AsyncIterator[Reconciler]:
    async with working(Reconciler(worker, clock, chance=lambda: 1.0)) as reconciler:
        yield reconciler


async def test_many_wakes_before_a_pass_are_one_pass(reconciler: Reconciler, worker: Worker) -> None:
    for _ in range(5):
        reconciler.wake("a")
    await reconciler.idle()
    assert worker.passes == ["a"]


async def test_a_wake_during_a_pass_causes_one_more_and_never_two_at_once(
    reconciler: Reconciler, worker: Worker
) -> None:
    worker.gate.clear()
    reconciler.wake("a")
    await turns()
    for _ in range(5):
        reconciler.wake("a")
    await turns()
    assert worker.passes == ["a"]
    assert not reconciler.is_idle
    worker.gate.set()
    await reconciler.idle()
    assert worker.passes == ["a", "a"]


async def test_different_keys_run_at_the_same_time_up_to_the_most(worker: Worker, clock: FakeClock) -> None:
    worker.gate.clear()
    async with working(Reconciler(worker, clock, most=3)) as reconciler:
        for key in "abcdef":
            reconciler.wake(key)
        await turns()
        assert worker.passes == ["a", "b", "c"]
        worker.gate.set()
        await reconciler.idle()
    assert worker.passes == list("abcdef")
    assert worker.most_running == 3


async def test_a_key_is_looked_at_again_when_its_work_asked_for_it(
    reconciler: Reconciler, worker: Worker, clock: FakeClock
) -> None:
    async def until_three(_: str) -> datetime | None:
        return clock.now() + second(5) if len(worker.passes) < 3 else None

    worker.does = until_three
    reconciler.wake("a")
    await reconciler.idle()
    assert len(worker.passes) == 1
    clock.advance(second(4.9))
    await reconciler.idle()
    assert len(worker.passes) == 1
    clock.advance(second(0.1))
    assert not reconciler.is_idle
    await reconciler.idle()
    assert len(worker.passes) == 2
    for _ in range(2):
        clock.advance(second(5))
        await reconciler.idle()
        assert len(worker.passes) == 3


async def test_a_later_pass_decides_anew_when_to_look(reconciler: Reconciler, worker: Worker, clock: FakeClock) -> None:
    async def once(_: str) -> datetime | None:
        return clock.now() + second(5) if len(worker.passes) == 1 else None

    worker.does = once
    reconciler.wake("a")
    await reconciler.idle()
    reconciler.wake("a")
    await reconciler.idle()
    clock.advance(second(60))
    await reconciler.idle()
    assert worker.passes == ["a", "a"]


async def test_pauses_grow_from_a_second_to_a_minute_and_begin_anew_after_a_success(
    reconciler: Reconciler, worker: Worker, clock: FakeClock
) -> None:
    async def fail(_: str) -> datetime | None:
        raise Temporary("no answer")

    worker.does = fail
    reconciler.wake("a")
    await reconciler.idle()
    for passes, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60], start=1):
        clock.advance(second(pause - 0.1))
        await reconciler.idle()
        assert len(worker.passes) == passes
        clock.advance(second(0.1))
        await reconciler.idle()
        assert len(worker.passes) == passes + 1
    worker.does = None
    clock.advance(LONGEST_PAUSE)
    await reconciler.idle()
    worker.does = fail
    reconciler.wake("a")
    await reconciler.idle()
    before = len(worker.passes)
    clock.advance(second(1))
    await reconciler.idle()
    assert len(worker.passes) == before + 1


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.5), (0.5, 0.75)])
async def test_pauses_differ_by_chance_so_that_keys_do_not_come_back_together(
    worker: Worker, clock: FakeClock, chance: float, pause: float
) -> None:
    async def fail(_: str) -> datetime | None:
        raise Temporary("no answer")

    worker.does = fail
    async with working(Reconciler(worker, clock, chance=lambda: chance)) as reconciler:
        reconciler.wake("a")
        await reconciler.idle()
        clock.advance(second(pause - 0.01))
        assert reconciler.is_idle
        clock.advance(second(0.01))
        assert not reconciler.is_idle


async def test_no_wake_shortens_the_wait_that_the_homeserver_asked_for(
    reconciler: Reconciler, worker: Worker, clock: FakeClock
) -> None:
    async def limited(_: str) -> datetime | None:
        if len(worker.passes) == 1:
            raise RateLimited(second(30))
        return None

    worker.does = limited
    reconciler.wake("a")
    await reconciler.idle()
    reconciler.wake("a")
    reconciler.wake("b")
    clock.advance(second(29))
    await reconciler.idle()
    assert worker.passes == ["a", "b"]
    clock.advance(second(1))
    await reconciler.idle()
    assert worker.passes == ["a", "b", "a"]


async def test_a_broken_pass_is_logged_with_its_key_tried_again_and_stops_nobody_else(
    reconciler: Reconciler, worker: Worker, clock: FakeClock
) -> None:
    async def break_once(key: str) -> datetime | None:
        if key == "a" and worker.passes.count("a") == 1:
            raise ZeroDivisionError
        return None

    worker.does = break_once
    with capture_logs() as logs:
        reconciler.wake("a")
        reconciler.wake("b")
        await reconciler.idle()
    assert [(entry["log_level"], entry["key"]) for entry in logs] == [("error", "a")]
    clock.advance(second(1))
    await reconciler.idle()
    assert worker.passes == ["a", "b", "a"]


async def test_the_loss_of_the_login_ends_it(worker: Worker, clock: FakeClock) -> None:
    async def lose(_: str) -> datetime | None:
        raise LoginLost

    worker.does = lose
    reconciler = Reconciler(worker, clock)
    reconciler.wake("a")
    with pytest.raises(ExceptionGroup) as caught:
        await reconciler.run()
    assert caught.group_contains(LoginLost)


async def test_what_was_woken_before_it_runs_is_not_lost(worker: Worker, clock: FakeClock) -> None:
    reconciler = Reconciler(worker, clock)
    reconciler.wake("a")
    assert not reconciler.is_idle
    async with working(reconciler):
        await reconciler.idle()
    assert worker.passes == ["a"]


async def test_nothing_is_kept_of_a_key_that_has_nothing_to_do(
    reconciler: Reconciler, worker: Worker, clock: FakeClock
) -> None:
    async def fail_once(key: str) -> datetime | None:
        if worker.passes.count(key) == 1:
            raise Temporary("no answer")
        return None

    worker.does = fail_once
    for number in range(50):
        reconciler.wake(f"{number}")
    await reconciler.idle()
    clock.advance(second(1))
    await reconciler.idle()
    kept = [value for value in vars(reconciler).values() if isinstance(value, dict | set)]
    assert len(kept) == 6
    assert not any(kept)


async def test_the_oldest_wake_counts_until_a_pass_that_began_after_it_comes_to_a_good_end(
    worker: Worker, clock: FakeClock
) -> None:
    outcomes: list[str] = []

    async def fail_once(key: str) -> datetime | None:
        if worker.passes.count(key) == 1:
            raise Temporary("no answer")
        return None

    worker.does = fail_once
    worker.gate.clear()
    async with working(Reconciler(worker, clock, chance=lambda: 1.0, passed=outcomes.append)) as reconciler:
        assert reconciler.oldest_wake_s == 0
        reconciler.wake("a")
        await turns()
        clock.advance(second(3))
        assert reconciler.oldest_wake_s == 3  # a pass is under way
        worker.gate.set()
        await reconciler.idle()
        assert (outcomes, reconciler.oldest_wake_s) == (["again"], 3)
        worker.gate.clear()
        clock.advance(second(1))
        await turns()
        reconciler.wake("a")  # during the second pass, which serves only the first wake
        clock.advance(second(2))
        worker.gate.set()
        await turns()
        assert outcomes == ["again", "done", "done"]
        assert reconciler.oldest_wake_s == 0


async def test_a_wake_during_a_pass_is_not_served_by_it(worker: Worker, clock: FakeClock) -> None:
    worker.gate.clear()
    async with working(Reconciler(worker, clock, most=1)) as reconciler:
        reconciler.wake("a")
        await turns()
        clock.advance(second(5))
        reconciler.wake("a")
        reconciler.wake("b")
        assert reconciler.oldest_wake_s == 5
        clock.advance(second(1))
        worker.gate.set()
        await reconciler.idle()
        assert reconciler.oldest_wake_s == 0
