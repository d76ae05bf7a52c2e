"""Who may ask the homeserver when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bot.errors import Outdated
from bot.matrix.ids import RoomId
from bot.matrix.limits import (
    HANGING,
    IN_FLIGHT,
    KEPT_FOR_ANSWERS,
    MOST_HANGING,
    SOON,
    TRUSTED,
    Bucket,
    Limit,
    Limiter,
    per_second,
)
from bot.matrix.ports import Urgency
from bot.testing.clock import FakeClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIVE = timedelta(seconds=5)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class Callers:
    """Starts requests that hold their turn until they are told to end."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.limiter = Limiter(self.clock)
        self.went: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def ask(self, name: str, room: str | None = None, urgency: Urgency = Urgency.MESSAGE) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, RoomId(room) if room else None, urgency))
        await settle()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()

    async def pass_(self, by: float) -> None:
        self.clock.advance(seconds(by))
        await settle()

    async def _hold(self, name: str, room: RoomId | None, urgency: Urgency) -> None:
        async with self.limiter.turn(room, urgency):
            self.went.append(name)
            await self.ends[name].wait()


@asynccontextmanager
async def callers() -> AsyncIterator[Callers]:
    made = Callers()
    yield made
    for task in made.tasks.values():
        task.cancel()
    await asyncio.gather(*made.tasks.values(), return_exceptions=True)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_refusal_tells_when_the_next_token_comes() -> None:
    bucket = Bucket(NOON).refused(NOON, seconds(4))
    assert bucket.has(1) == NOON + seconds(4)
    assert bucket.has(3) == NOON + seconds(14)


def test_tokens_come_back_up_to_the_burst() -> None:
    bucket = Bucket(NOON)
    assert bucket.filled(NOON + seconds(10)).left == pytest.approx(2)
    assert bucket.filled(NOON + timedelta(hours=1)).left == 10


def test_a_request_takes_one_token() -> None:
    bucket = Bucket(NOON, left=3).taken(NOON)
    assert bucket.left == 2
    assert bucket.has(2) == NOON
    assert bucket.has(3) == NOON + FIVE


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    bucket = Bucket(NOON, left=3).filled(NOON - timedelta(hours=1))
    assert (bucket.left, bucket.at) == (3, NOON)


def test_a_wait_of_another_limit_does_not_hold_up_everything() -> None:
    assert Bucket(NOON).refused(NOON, seconds(333)).has(1) == NOON + FIVE


async def test_nobody_waits_before_the_first_refusal() -> None:
    async with callers() as people:
        for number in range(100):
            await people.ask(f"{number}", f"!room{number}")
            await people.end(f"{number}")
        assert len(people.went) == 100
        assert people.limiter.pace().per_second is None


async def test_after_a_refusal_requests_go_at_the_servers_pace() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.ask("first", "!a")
        await people.ask("second", "!b")
        await people.pass_(14.9)
        assert people.went == []
        await people.pass_(0.1)
        assert people.went == ["first"]
        await people.pass_(5)
        assert people.went == ["first", "second"]
        assert people.limiter.pace().per_second == 0.2
        assert people.limiter.pace().burst_left == pytest.approx(0)


async def test_two_tokens_are_kept_for_answers() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(15)
        for name in ("message", "another"):
            await people.ask(name, f"!{name}")
        for name in ("answer 1", "answer 2", "answer 3"):
            await people.ask(name, f"!{name}", Urgency.ANSWER)
        assert people.went == ["message", "answer 1", "answer 2"]


async def test_the_urgent_go_first_then_who_came_first() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        for name, urgency in (
            ("leave", Urgency.CLEAN_UP),
            ("say 1", Urgency.MESSAGE),
            ("say 2", Urgency.MESSAGE),
            ("lock", Urgency.LOCK),
            ("answer", Urgency.ANSWER),
        ):
            await people.ask(name, f"!{name}", urgency)
        for _ in range(8):
            await people.pass_(5)
        assert people.went == ["answer", "lock", "say 1", "say 2", "leave"]


async def test_what_can_wait_leaves_the_token_to_an_urgent_request_that_soon_follows_another() -> None:
    """A room's next invite is asked for when the one before is noted: on a busy machine the token was gone by then."""
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(40)
        await people.ask("invite", "!a", Urgency.INVITE)
        await people.ask("board", "!b")
        assert people.went == ["invite"]
        await people.end("invite")
        await people.pass_(SOON.total_seconds() - 0.1)
        await people.ask("next", "!a", Urgency.INVITE)
        assert people.went == ["invite", "next"]
        await people.end("next")
        await people.ask("answer", "!b", Urgency.ANSWER)
        assert people.went[-1] == "answer"
        await people.end("answer")
        await people.pass_(SOON.total_seconds())
        assert people.went == ["invite", "next", "answer", "board"]


async def test_an_urgent_request_that_hangs_holds_nothing_back_for_long() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(40)
        await people.ask("lock", "!a", Urgency.LOCK)
        await people.ask("board", "!b")
        await people.pass_(HANGING.total_seconds() + SOON.total_seconds())
        assert people.went == ["lock", "board"]


async def test_a_room_has_one_request_at_a_time_and_others_go_on() -> None:
    async with callers() as people:
        await people.ask("first", "!a")
        await people.ask("second", "!a")
        await people.ask("elsewhere", "!b")
        await people.ask("answer", "!a", Urgency.ANSWER)
        assert people.went == ["first", "elsewhere"]
        await people.end("first")
        assert people.went == ["first", "elsewhere", "answer"]
        await people.end("answer")
        assert people.went[-1] == "second"


async def test_only_some_are_in_flight_and_answers_come_on_top() -> None:
    async with callers() as people:
        for number in range(IN_FLIGHT + 1):
            await people.ask(f"{number}")
        assert len(people.went) == IN_FLIGHT
        await people.ask("answer", "!a", Urgency.ANSWER)
        assert people.went[IN_FLIGHT:] == ["answer"]
        await people.end("answer")
        assert len(people.went) == IN_FLIGHT + 1
        await people.end("0")
        assert people.went[-1] == str(IN_FLIGHT)


async def test_a_request_that_hangs_holds_nobody_back_neither_in_its_room_nor_elsewhere() -> None:
    async with callers() as people:
        for number in range(IN_FLIGHT):
            await people.ask(f"{number}", f"!{number}")
        in_flight = len(people.went)
        await people.ask("elsewhere", "!z")
        await people.ask("answer", "!0", Urgency.ANSWER)
        await people.pass_(2.9)
        assert len(people.went) == in_flight
        await people.pass_(0.1)
        assert {"elsewhere", "answer"} <= set(people.went)
        await people.ask("again", "!1")
        assert "again" in people.went


async def test_a_server_that_is_slow_to_answer_everything_is_given_time() -> None:
    async with callers() as people:
        for _ in range(200):
            people.limiter.note(1.0)
        for number in range(IN_FLIGHT + 1):
            await people.ask(f"{number}", f"!{number}")
        in_flight = len(people.went)
        await people.pass_(9)
        assert len(people.went) == in_flight
        await people.pass_(1)
        assert len(people.went) > in_flight


async def test_a_server_that_answers_nothing_is_not_asked_for_ever_more() -> None:
    async with callers() as people:
        for number in range(100):
            await people.ask(f"{number}", f"!{number}")
        for _ in range(60):
            await people.pass_(5)
        assert len(people.went) <= MOST_HANGING + IN_FLIGHT + 1
        await people.ask("answer", "!a", Urgency.ANSWER)
        assert people.went[-1] == "answer"
        before = len(people.went)
        for number in range(10):
            await people.end(f"{number}")
        assert len(people.went) > before


@pytest.mark.parametrize(
    ("longest", "rate"), [(4.448, 0.2), (5, 0.2), (1.2, 0.2), (0.1, 10), (0.5, 2), (8, 0.125), (0, 100)]
)
def test_the_longest_wait_for_a_token_tells_how_often_they_come(longest: float, rate: float) -> None:
    assert per_second(seconds(longest)) == pytest.approx(rate)


async def test_a_faster_server_is_asked_faster_and_a_slower_one_more_slowly() -> None:
    async with callers() as people:
        people.limiter.throttled(seconds(0.1))
        assert people.limiter.pace().per_second == pytest.approx(10)
        people.limiter.throttled(seconds(0.5))
        assert people.limiter.pace().per_second == pytest.approx(2)
        people.limiter.throttled(seconds(0.2))
        assert people.limiter.pace().per_second == pytest.approx(2)
        people.limiter.throttled(seconds(300))
        assert people.limiter.pace().per_second == pytest.approx(2)


async def test_a_limit_that_was_lifted_is_found_out() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(TRUSTED.total_seconds())
        for number in range(30):
            await people.ask(f"{number}")
            await people.end(f"{number}")
        assert len(people.went) == 30
        assert people.limiter.pace().per_second is None


async def test_a_limit_that_stands_is_found_out_with_one_request() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(TRUSTED.total_seconds())
        for number in range(10 - KEPT_FOR_ANSWERS + 1):
            await people.ask(f"{number}")
            await people.end(f"{number}")
        people.limiter.throttled(FIVE)
        await people.ask("early")
        assert "early" not in people.went
        assert people.limiter.pace().per_second == 0.2


async def test_nothing_that_must_be_in_time_is_risked_in_a_trial() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(TRUSTED.total_seconds())
        for number in range(10 - KEPT_FOR_ANSWERS):
            await people.ask(f"{number}")
            await people.end(f"{number}")
        await people.ask("lock", "!a", Urgency.LOCK)
        assert "lock" not in people.went
        await people.pass_(5)
        assert people.went[-1] == "lock"


async def test_a_short_wait_in_a_trial_makes_nobody_believe_in_a_faster_server() -> None:
    # Any server's next token may be near; seven requests went out at once, and were refused (measured).
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(TRUSTED.total_seconds())
        people.limiter.throttled(seconds(0.4))
        assert people.limiter.pace().per_second == 0.2


async def test_a_long_wait_in_a_trial_tells_that_the_server_is_not_as_slow_as_it_was() -> None:
    async with callers() as people:
        people.limiter.throttled(seconds(9))
        assert people.limiter.pace().per_second == pytest.approx(1 / 9)
        await people.pass_(TRUSTED.total_seconds())
        people.limiter.throttled(seconds(4))
        assert people.limiter.pace().per_second == 0.2


async def test_what_a_former_process_found_is_believed_and_tried() -> None:
    async with callers() as people:
        people.limiter.believe(0.2)
        assert (people.limiter.pace().per_second, people.limiter.pace().burst_left) == (0.2, 8)
        for number in range(30):
            await people.ask(f"{number}")
            await people.end(f"{number}")
        assert len(people.went) == 30
        assert people.limiter.pace().per_second is None


async def test_new_rooms_have_a_limit_of_their_own() -> None:
    async with callers() as people:
        people.limiter.throttled(seconds(61), Limit.NEW_ROOMS)
        assert people.limiter.pace().per_second is None
        people.limiter.throttled(FIVE)
        pace = people.limiter.pace()
        assert (pace.per_second, pace.rooms_per_second) == (0.2, 0.016)
        assert pace.rooms_left == pytest.approx(0.024)


async def test_a_room_that_too_many_join_says_nothing_of_messages() -> None:
    async with callers() as people:
        people.limiter.throttled(seconds(7), Limit.JOINS)
        assert people.limiter.pace().per_second is None


async def test_rooms_that_were_made_count_where_the_server_is_a_stock_one() -> None:
    async with callers() as people:
        for _ in range(4):
            people.limiter.note(0.1, Limit.NEW_ROOMS)
        assert people.limiter.pace().rooms_left is None
        people.limiter.throttled(FIVE)
        assert people.limiter.pace().rooms_left == pytest.approx(6)


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    async with callers() as people:
        await people.ask("first", "!a")
        await people.ask("second", "!a")
        await people.ask("third", "!a")
        people.tasks["second"].cancel()
        people.ends["first"].set()
        await settle()
        assert people.went == ["first", "third"]


async def test_who_is_cancelled_on_his_turn_gives_it_back() -> None:
    async with callers() as people:
        await people.ask("first", "!a")
        await people.ask("second", "!a")
        people.tasks["first"].cancel()
        await settle()
        assert people.went == ["first", "second"]


async def test_a_turn_that_nobody_wanted_any_more_costs_nobody_a_token() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.pass_(60)
        before = people.limiter.pace().burst_left
        with pytest.raises(Outdated):
            async with people.limiter.turn(RoomId("!a"), Urgency.INVITE):
                raise Outdated
        assert people.limiter.pace().burst_left == before


async def test_nothing_is_waited_for_when_nobody_waits() -> None:
    async with callers() as people:
        people.limiter.throttled(FIVE)
        await people.ask("only", "!a")
        assert people.clock.next_moment is not None
        people.tasks["only"].cancel()
        await settle()
        assert people.clock.next_moment is None


async def test_the_time_of_a_request_is_a_running_mean() -> None:
    async with callers() as people:
        for _ in range(100):
            people.limiter.note(0.4)
        assert people.limiter.pace().seconds_per_request == pytest.approx(0.4, rel=0.01)
