"""On a server that grants a request in five seconds: what goes first, and that the last room has it in time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.clock import from_ms
from bot.matrix.ids import RoomId
from bot.matrix.ports import Urgency
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeServer
from bot.testing.harness import Room, Talk, life
from tests.conversation.throttled import Asked, ThrottledHomeserver, pass_by, pass_until
from tests.kill_matrix.simulated.inline import without_threads

SECOND = timedelta(seconds=1)

TOKEN = 5.5
"""Seconds: whether a board was an instant faster than an invite, nobody can foresee."""


class Hall:
    """A main room with a moderator and its people on a throttled server, and the bot in it."""

    def __init__(self, talk: Talk, homeserver: ThrottledHomeserver, main: Room, people: list[str]) -> None:
        self.talk, self.homeserver, self.main, self.people = talk, homeserver, main, people
        clock = homeserver.server.clock
        assert isinstance(clock, FakeClock)
        self.clock = clock

    async def says(self, text: str, **until: float) -> None:
        self.talk.user("ann").say(self.main.id, text)
        await pass_by(self.clock, **(until or {"seconds": 0.1}))

    async def passes(self, **length: float) -> None:
        await pass_by(self.clock, **length)

    def granted(self, verb: str, what: str = "", since: datetime | None = None) -> list[Asked]:
        """What was asked so and granted, in its order."""
        return [
            asked
            for asked in self.homeserver.granted
            if asked.verb == verb and what in asked.what and (since is None or asked.at >= since)
        ]

    async def everybody_joins(self) -> None:
        for room in self.talk.server.rooms.values():
            for name in self.people:
                if room.membership(self.talk.user(name).id) == "invite":
                    self.talk.user(name).join(room.id)
        await pass_by(self.clock, seconds=0.1)

    def estimate(self, text: str) -> float:
        """The seconds that a message of the bot says."""
        found = re.search(r"about (?:(\d+) minutes? ?)?(?:(\d+) seconds?)? on this server", text)
        assert found is not None, text
        return 60 * int(found[1] or 0) + int(found[2] or 0)

    @property
    def last_invite(self) -> datetime:
        return max(asked.at for asked in (*self.granted("create", "Room "), *self.granted("invite")))


@asynccontextmanager
async def a_hall(folder: Path, count: int) -> AsyncIterator[Hall]:
    server = FakeServer(FakeClock())
    homeserver = ThrottledHomeserver(server)
    with without_threads():
        async with life(server, homeserver, folder, {"breakout": {"max_rooms": 100, "confirm_above": 1000}}) as talk:
            people = [f"p{number}" for number in range(count)]
            admin, ann = talk.user("admin"), talk.user("ann")
            power = {"users": {ann.id: 50, homeserver.me: 100}, "invite": 0}
            room: RoomId = server.create(admin.id, name="Class 7b", power=power, version="11")
            for user in (ann, *map(talk.user, people)):
                server.invite(admin.id, room, user.id, "")
                user.join(room)
            server.invite(admin.id, room, homeserver.me, "")
            hall = Hall(talk, homeserver, Room(talk, room), people)
            await hall.passes(minutes=1)
            admin.leave(room)
            yield hall


@pytest.mark.parametrize(("rooms", "count"), [(5, 20), (10, 100), (9, 24), (4, 60)])
@pytest.mark.parametrize("rest", [0, 120])
async def test_a_start_takes_as_long_as_setup_and_start_say(tmp_path: Path, rooms: int, count: int, rest: int) -> None:
    async with a_hall(tmp_path, count) as hall:
        await hall.says(f"!breakout setup {rooms}")
        set_up, planned = hall.clock.now(), hall.main.message("The start takes") if rest == 0 else None
        await hall.passes(seconds=rest)
        began = hall.clock.now()
        await hall.says("!breakout start", minutes=15)
        taken = (hall.last_invite - began).total_seconds()
        reply = hall.main.message("rooms are opening")["content"]["body"]
        if taken > 2:
            assert hall.estimate(reply) == pytest.approx(taken, rel=0.2, abs=TOKEN)
        else:
            assert "on this server" not in reply
        if planned is not None:
            assert hall.estimate(planned["content"]["body"]) == pytest.approx(
                (hall.last_invite - set_up).total_seconds(), rel=0.2, abs=TOKEN
            )
        assert hall.homeserver.refused <= rooms


async def test_the_main_room_hears_of_the_invites_before_each_room_is_welcomed(tmp_path: Path) -> None:
    async with a_hall(tmp_path, 50) as hall:
        await hall.says("!breakout setup 5", minutes=2)
        await hall.says("!breakout start", minutes=15)
        told = hall.granted("send", "breakout:started:")[0]
        welcomes = [asked.at for asked in hall.granted("send", "breakout:welcome:") if "keycap" not in asked.what]
        assert len(welcomes) == 5
        assert hall.last_invite <= told.at < min(welcomes)


async def test_what_is_not_true_any_more_does_not_come_late(tmp_path: Path) -> None:
    async with a_hall(tmp_path, 20) as hall:
        for _ in range(8):
            await hall.says("!breakout help")  # the tokens are spent
        await hall.says("!breakout setup 3", seconds=20)
        started = hall.clock.now()
        await hall.says("!breakout start 20m", seconds=20)
        ended = hall.clock.now()
        await hall.says("!breakout end now", minutes=2)
        assert not hall.granted("send", ":set up:", started)
        assert hall.granted("send", ":ended:", ended)
        for late in (":running:", "breakout:welcome:", "breakout:clock:", "breakout:started:", "breakout:progress:"):
            assert not hall.granted("send", late, ended), late


async def test_a_second_round_takes_as_long_as_it_says(tmp_path: Path) -> None:
    async with a_hall(tmp_path, 12) as hall:
        await hall.says("!breakout setup 3")
        await hall.says("!breakout start", minutes=5)
        await hall.everybody_joins()
        await hall.says("!breakout end now", minutes=10)
        began = hall.clock.now()
        await hall.says("!breakout start", minutes=15)
        reply = hall.main.message("rooms are opening")["content"]["body"]
        assert hall.estimate(reply) == pytest.approx((hall.last_invite - began).total_seconds(), rel=0.2)


async def test_everybody_is_out_as_soon_as_the_end_says(tmp_path: Path) -> None:
    async with a_hall(tmp_path, 20) as hall:
        await hall.says("!breakout setup 5")
        await hall.says("!breakout start", minutes=10)
        await hall.everybody_joins()
        await hall.passes(minutes=10)
        began = hall.clock.now()
        await hall.says("!breakout end now", minutes=10)
        reply = hall.main.message("rooms are closing now")["content"]["body"]
        taken = max(asked.at for asked in hall.granted("remove")) - began
        assert hall.estimate(reply) == pytest.approx(taken.total_seconds(), rel=0.2)


@pytest.mark.parametrize("mode", ["", " choose"])
async def test_ten_rooms_are_warned_told_and_locked_in_time_the_last_one_too(tmp_path: Path, mode: str) -> None:
    async with a_hall(tmp_path, 30) as hall:
        await hall.says(f"!breakout setup 10{mode}")
        await hall.says("!breakout start", minutes=10)
        await hall.everybody_joins()
        await hall.passes(minutes=5)
        await hall.says("!breakout timer 10m")
        ends = hall.clock.now() + timedelta(minutes=10) - timedelta(seconds=0.1)
        await pass_until(hall.clock, ends + timedelta(minutes=15))

        for key, before in ((":300:", 300), ("breakout:closing:", 120), (":60:", 60)):
            told = hall.granted("send", key)
            assert len(told) == 10
            assert ends - timedelta(seconds=before + 61) < min(asked.at for asked in told)
            assert max(asked.at for asked in told) <= ends - timedelta(seconds=before) + SECOND

        locks = hall.granted("set_state", "m.room.power_levels", ends - timedelta(minutes=1))
        assert len(locks) == 10
        assert min(asked.at for asked in locks) >= ends - timedelta(seconds=60)
        assert max(asked.at for asked in locks) <= ends + SECOND

        closed = hall.granted("send", "room-closed:")
        removed = hall.granted("remove")
        assert bool(removed) is not bool(mode), "where everybody chooses, nobody has"
        assert len(closed) == 10
        assert max(asked.at for asked in locks) <= min(asked.at for asked in closed)
        if removed:
            assert max(asked.at for asked in closed) <= min(asked.at for asked in removed)
        if mode:
            shut = hall.granted("set_state", "m.room.join_rules", ends - timedelta(minutes=1))
            assert len(shut) == 10
            assert max(asked.at for asked in locks) <= min(asked.at for asked in shut)


async def test_a_warning_does_not_wait_behind_what_is_less_urgent_in_its_room(tmp_path: Path) -> None:
    async with a_hall(tmp_path, 4) as hall:
        await hall.says("!breakout setup 2")
        await hall.says("!breakout start 90s", seconds=25)
        await hall.everybody_joins()
        await hall.passes(minutes=5)
        sent = [(asked.at, asked.what, asked.urgency) for asked in hall.granted("send")]
        told = [at for at, what, _ in sent if "breakout:closing:" in what]
        assert len(told) == 2
        between = [what for at, what, urgency in sent if told[0] < at < told[1] and urgency > Urgency.LOCK]
        assert not between


async def test_a_reaction_that_is_offered_under_an_answer_comes_when_the_answer_is_there(tmp_path: Path) -> None:
    async with a_hall(tmp_path, 4) as hall:
        await hall.says("!breakout setup 2", minutes=2)
        await hall.says("!breakout delete", minutes=2)
        question = hall.main.message("Tap ✅")
        assert from_ms(question["origin_server_ts"]) <= hall.clock.now()
        assert len(hall.granted("send", "keycap:✅")) == 1


async def test_a_broadcast_goes_before_what_nobody_waits_for(tmp_path: Path) -> None:
    async with a_hall(tmp_path, 20) as hall:
        await hall.says("!breakout setup 5")
        await hall.says("!breakout start", seconds=30)
        await hall.everybody_joins()
        began = hall.clock.now()
        await hall.says("!breakout broadcast Hello everybody", minutes=10)
        copies = [asked.at for asked in hall.granted("send", ":broadcast:")]
        assert len(copies) == 5
        assert max(copies) <= began + timedelta(seconds=5 * 5 + 1)
