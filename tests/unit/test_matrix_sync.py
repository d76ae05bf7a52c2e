"""Following `/sync` through everything that a homeserver and we ourselves do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from bot.errors import LoginLost, Permanent, RateLimited, Temporary
from bot.matrix.events import Content, RawEvent, RoomDelta, SyncBatch
from bot.matrix.ids import EventId, RoomId
from bot.matrix.sync import FEW_TO_ASK, LONG_POLL, follow
from bot.testing.clock import FakeClock

MAIN = RoomId("!main")


def text(number: int) -> dict[str, Any]:
    return {"event_id": f"${number}", "type": "m.room.message"}


def state(number: int) -> dict[str, Any]:
    return {"event_id": f"${number}", "type": "m.room.name", "state_key": "", "content": {}}


def ids(events: Sequence[RawEvent]) -> list[str]:
    return [event["event_id"] for event in events]


class FakeReader:
    """Answers `sync` with what the test lays out, then waits for ever."""

    def __init__(self, *answers: SyncBatch | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str | None, float]] = []
        self.earlier: Sequence[RawEvent] | Exception = ()
        self.fails_first: list[Exception] = []
        self.gaps: list[tuple[str, str, str]] = []
        self.holds: dict[tuple[str, str], Content | Exception] = {}
        """The state of every room, by type and state key."""
        self.read: list[str] = []
        self.dry = asyncio.Event()

    async def sync(self, since: str | None, timeout_s: float) -> SyncBatch:
        self.asked.append((since, timeout_s))
        if not self.answers:
            self.dry.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def messages_before(self, room: RoomId, token: str, until: str) -> Sequence[RawEvent]:
        self.gaps.append((room, token, until))
        if self.fails_first:
            raise self.fails_first.pop(0)
        if isinstance(self.earlier, Exception):
            raise self.earlier
        return self.earlier

    async def state(self, room: RoomId) -> Sequence[RawEvent]:
        self.read.append(room)
        return [
            {"type": type_, "state_key": key, "content": content}
            for (type_, key), content in self.holds.items()
            if not isinstance(content, Exception)
        ]

    async def content(self, room: RoomId, type_: str, state_key: str) -> Content | None:
        self.read.append(f"{type_} {state_key}")
        if self.fails_first:
            raise self.fails_first.pop(0)
        found = self.holds.get((type_, state_key))
        if isinstance(found, Exception):
            raise found
        return found

    async def event(self, room: RoomId, event: EventId) -> RawEvent:
        raise NotImplementedError


class Inbox:
    """Accepts batches, after refusing the first few."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.took: list[tuple[SyncBatch, bool]] = []

    async def __call__(self, batch: SyncBatch, *, first: bool) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.took.append((batch, first))

    @property
    def tokens(self) -> list[str]:
        return [batch.token for batch, _ in self.took]


async def run(reader: FakeReader, inbox: Inbox, since: str | None = "s0") -> list[float]:
    """Follow until the reader has no more answers; the pauses, in seconds."""
    clock, pauses = FakeClock(), list[float]()
    task = asyncio.create_task(follow(reader, since, inbox, clock, chance=lambda: 1.0))
    while not (reader.dry.is_set() or task.done()):
        await asyncio.sleep(0)
        if moment := clock.next_moment:
            pauses.append((moment - clock.now()).total_seconds())
            clock.advance(moment - clock.now())
    if not task.done():
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return pauses


async def test_the_first_batch_is_asked_for_without_waiting_and_said_to_be_the_first() -> None:
    reader, inbox = FakeReader(SyncBatch("s1"), SyncBatch("s2")), Inbox()
    assert await run(reader, inbox) == []
    assert reader.asked == [("s0", 0), ("s1", LONG_POLL), ("s2", LONG_POLL)]
    assert [(batch.token, first) for batch, first in inbox.took] == [("s1", True), ("s2", False)]


async def test_the_pauses_double_up_to_a_minute_and_start_anew_after_a_success() -> None:
    reader = FakeReader(*[Temporary("502")] * 9, SyncBatch("s1"), Temporary("502"))
    assert await run(reader, inbox := Inbox()) == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 0.5]
    assert inbox.tokens == ["s1"]


async def test_the_homeserver_may_ask_for_a_longer_pause() -> None:
    reader = FakeReader(RateLimited(timedelta(seconds=7)), RateLimited(timedelta()))
    assert await run(reader, Inbox()) == [7, 1]


@pytest.mark.parametrize("error", [ValueError("a bug"), Permanent(400, "M_UNKNOWN", "no"), RuntimeError("a bug")])
async def test_nothing_but_a_lost_login_ends_it(error: Exception) -> None:
    reader, inbox = FakeReader(error, SyncBatch("s1")), Inbox()
    await run(reader, inbox)
    assert inbox.tokens == ["s1"]


async def test_a_lost_login_ends_it() -> None:
    with pytest.raises(LoginLost):
        await run(FakeReader(LoginLost("M_UNKNOWN_TOKEN")), Inbox())


async def test_a_batch_that_could_not_be_taken_in_comes_again() -> None:
    reader = FakeReader(SyncBatch("s1"), SyncBatch("s1"), SyncBatch("s2"))
    inbox = Inbox(OSError("the disk is full"))
    assert await run(reader, inbox) == [0.5]
    assert [since for since, _ in reader.asked] == ["s0", "s0", "s1", "s2"]
    assert [(batch.token, first) for batch, first in inbox.took] == [("s1", True), ("s2", False)]


async def test_what_a_limited_timeline_leaves_out_is_put_before_it_each_event_once() -> None:
    delta = RoomDelta(state=(state(2), state(9)), timeline=(text(4), text(5)), gap="t4")
    reader, inbox = FakeReader(SyncBatch("s1", {MAIN: delta})), Inbox()
    reader.holds["m.room.name", ""] = {}
    reader.earlier = (text(1), state(2), text(3), text(4))
    await run(reader, inbox)
    assert reader.gaps == [(MAIN, "t4", "s0")]
    taken = inbox.took[0][0].joined[MAIN]
    assert ids(taken.timeline) == ["$1", "$2", "$3", "$4", "$5"]
    assert ids(taken.state) == ["$9"]
    assert taken.gap is None


async def test_a_gap_that_cannot_be_read_now_keeps_the_batch_waiting() -> None:
    batch = SyncBatch("s1", {MAIN: RoomDelta(timeline=(text(5),), gap="t5")})
    reader, inbox = FakeReader(batch), Inbox()
    reader.earlier = (text(4),)
    reader.fails_first = [Temporary("502")] * 3
    assert await run(reader, inbox) == [0.5, 1, 2]
    assert ids(inbox.took[0][0].joined[MAIN].timeline) == ["$4", "$5"]


async def test_a_gap_that_was_read_is_not_read_again_because_of_another_one() -> None:
    """With many rooms one of them fails each time: the batch would never be taken in."""
    rooms = [RoomId(f"!{number}") for number in range(5)]
    batch = SyncBatch("s1", {room: RoomDelta(timeline=(text(5),), gap="t5") for room in rooms})
    reader, inbox = FakeReader(batch), Inbox()
    reader.fails_first = [Temporary("502")]
    await run(reader, inbox)
    assert [room for room, _, _ in reader.gaps] == [rooms[0], *rooms]
    assert [since for since, _ in reader.asked] == ["s0", "s1"]


@pytest.mark.parametrize("part", ["state", "timeline"])
async def test_a_room_that_is_new_to_us_has_no_gap(part: str) -> None:
    """Synapse says "limited" of every room that we have just joined or made: what was before is not ours."""
    created = {"event_id": "$1", "type": "m.room.create", "state_key": ""}
    batch = SyncBatch("s1", {MAIN: RoomDelta(**{part: (created,)}, gap="t1")})
    reader, inbox = FakeReader(batch), Inbox()
    await run(reader, inbox)
    assert reader.gaps == []
    assert inbox.tokens == ["s1"]


async def test_a_gap_that_is_refused_is_left_open() -> None:
    batch = SyncBatch("s1", {MAIN: RoomDelta(timeline=(text(5),), gap="t5")})
    reader, inbox = FakeReader(batch), Inbox()
    reader.earlier = Permanent(403, "M_FORBIDDEN", "no")
    await run(reader, inbox)
    assert ids(inbox.took[0][0].joined[MAIN].timeline) == ["$5"]


async def test_a_room_that_cannot_be_read_while_all_else_can_does_not_keep_the_others_waiting_for_ever() -> None:
    broken = SyncBatch("s1", {MAIN: RoomDelta(timeline=(text(5),), gap="t5")})
    more = SyncBatch("s2", {MAIN: RoomDelta(timeline=(text(6),), gap="t6")})
    reader, inbox = FakeReader(broken, broken, more), Inbox()
    reader.earlier = Temporary("500")
    waited = await run(reader, inbox)
    assert [since for since, _ in reader.asked] == ["s0", "s0", "s1", "s2"]
    assert [ids(batch.joined[MAIN].timeline) for batch, _ in inbox.took] == [["$5"], ["$6"]]
    assert sum(waited) < 200
    assert waited[-1] == 0.5  # the next batch has not much patience any more


async def test_what_was_asked_for_in_vain_while_nothing_was_answered_is_asked_for_once_more() -> None:
    batch = SyncBatch("s1", {MAIN: RoomDelta(timeline=(text(5),), gap="t5")})
    reader, inbox = FakeReader(batch, Temporary("502"), Temporary("502"), batch, batch), Inbox()
    reader.earlier = (text(4),)
    reader.fails_first = [Temporary("502")] * 9
    await run(reader, inbox)
    assert ids(inbox.took[0][0].joined[MAIN].timeline) == ["$4", "$5"]


async def test_of_the_time_before_the_bots_first_start_only_the_state_is_taken() -> None:
    delta = RoomDelta(state=(state(1),), timeline=(text(2), state(3)), gap="t2")
    batch = SyncBatch("s1", {MAIN: delta}, invited={RoomId("!new"): (state(7),)})
    again = SyncBatch("s2", {MAIN: RoomDelta(timeline=(text(4),))})
    reader, inbox = FakeReader(batch, again), Inbox()
    await run(reader, inbox, since=None)
    (old, _), (new, _) = inbox.took
    assert ids(old.joined[MAIN].state + old.joined[MAIN].timeline) == ["$1", "$3"]
    assert reader.gaps == []
    assert old.invited == batch.invited
    assert ids(new.joined[MAIN].timeline) == ["$4"]


# --- what a state section says of rooms that are known


def member(name: str, membership: str, number: int = 1) -> dict[str, Any]:
    return {"event_id": f"${number}", "type": "m.room.member", "state_key": name, "content": {"membership": membership}}


ANN_LEFT: Content = {"membership": "leave"}


async def taken(reader: FakeReader, *deltas: RoomDelta) -> RoomDelta:
    """What is taken in of the last of these deltas of a room that the bot has been in all along."""
    reader.answers = [SyncBatch(f"t{number}", {MAIN: delta}) for number, delta in enumerate(deltas)]
    inbox = Inbox()
    await run(reader, inbox)
    return inbox.took[-1][0].joined[MAIN]


async def test_old_state_that_comes_with_a_branch_of_the_room_is_not_believed() -> None:
    # A message that was sent while Ann was removed stands on a branch on which she is in the room; Synapse tells the
    # state of that branch, though the removal was told in the batch before.
    reader = FakeReader()
    reader.holds["m.room.member", "@ann"] = ANN_LEFT
    delta = await taken(reader, RoomDelta((member("@ann", "join"),), (text(2),)))
    assert delta == RoomDelta((), (text(2),))


async def test_state_that_holds_is_believed() -> None:
    reader = FakeReader()
    joined = member("@ann", "join")
    reader.holds["m.room.member", "@ann"] = joined["content"]
    delta = await taken(reader, RoomDelta((joined,), (text(2),)))
    assert delta.state == (joined,)


async def test_what_is_told_once_more_as_the_last_of_its_state_is_neither_news_nor_asked_about() -> None:
    reader = FakeReader()
    joined = member("@ann", "join", 1)
    delta = await taken(reader, RoomDelta((), (joined,)), RoomDelta((joined,), (text(2),)))
    assert delta == RoomDelta((), (text(2),))
    assert reader.read == []


async def test_what_was_told_and_holds_again_is_believed() -> None:
    # The rules of the room took her leave back: a branch of it lost.
    reader = FakeReader()
    joined, left = member("@ann", "join", 1), member("@ann", "leave", 2)
    reader.holds["m.room.member", "@ann"] = joined["content"]
    delta = await taken(reader, RoomDelta((), (joined, left)), RoomDelta((joined,), (text(3),)))
    assert delta.state == (joined,)


async def test_what_was_not_taken_in_is_still_news_when_it_is_told_again() -> None:
    joined = member("@ann", "join", 1)
    batch = SyncBatch("t0", {MAIN: RoomDelta((joined,), (text(2),))})
    reader, inbox = FakeReader(batch, batch), Inbox(OSError("the disk is full"))
    reader.holds["m.room.member", "@ann"] = joined["content"]
    await run(reader, inbox)
    assert inbox.took[-1][0].joined[MAIN].state == (joined,)


async def test_state_that_is_in_the_timeline_too_stands_there() -> None:
    reader = FakeReader()
    joined = member("@ann", "join")
    delta = await taken(reader, RoomDelta((joined,), (joined, text(2))))
    assert delta == RoomDelta((), (joined, text(2)))
    assert reader.read == []


async def test_the_state_of_a_room_that_is_new_to_us_is_all_there_is() -> None:
    reader = FakeReader()
    create = {"event_id": "$0", "type": "m.room.create", "state_key": "", "content": {}}
    delta = await taken(reader, RoomDelta((create, member("@ann", "join")), (text(2),)))
    assert len(delta.state) == 2
    assert reader.read == []


async def test_much_state_is_asked_for_at_once() -> None:
    reader = FakeReader()
    users = [f"@p{number}" for number in range(FEW_TO_ASK + 1)]
    for user in users[1:]:
        reader.holds["m.room.member", user] = {"membership": "join"}
    delta = await taken(reader, RoomDelta(tuple(member(user, "join", n) for n, user in enumerate(users)), (text(99),)))
    assert [event["state_key"] for event in delta.state] == users[1:]
    assert reader.read == [MAIN]


async def test_what_we_may_not_know_any_more_is_taken_as_told() -> None:
    reader = FakeReader()
    reader.holds["m.room.member", "@ann"] = Permanent(403, "M_FORBIDDEN", "not in room")
    delta = await taken(reader, RoomDelta((member("@ann", "join"),), (text(2),)))
    assert delta.state == (member("@ann", "join"),)


async def test_a_question_that_fails_for_now_keeps_the_batch_waiting() -> None:
    reader = FakeReader()
    reader.fails_first = [Temporary("down"), Temporary("down")]
    delta = await taken(reader, RoomDelta((member("@ann", "join"),), (text(2),)))
    assert delta == RoomDelta((), (text(2),))
    assert reader.read == ["m.room.member @ann"] * 3


async def test_what_is_no_state_event_is_left_for_others_to_judge() -> None:
    reader = FakeReader()
    odd: dict[str, Any] = {"event_id": "$1", "type": 7, "state_key": None}
    assert (await taken(reader, RoomDelta((odd,), (text(2),)))).state == (odd,)
