"""What the account does at servers that are unlike the one of the other tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.errors import Permanent, RateLimited, Temporary
from bot.matrix.batch import batch_of
from bot.matrix.client import NioHomeserver, sync_slack
from bot.matrix.events import RoomDelta
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.ports import Blueprint
from bot.metrics import Metrics
from bot.testing.clock import FakeClock

ROOM = RoomId("!room:test")
ANN = UserId("@ann:test")
BOT = "@bot:test"
PLAN = Blueprint("Room 1", "", {"users": {ANN: 50, BOT: 3}})
FORBIDDEN = (403, {"errcode": "M_FORBIDDEN", "error": "no"})


class Server:
    """Answers by method and the last part of the path that is listed; everything else it does not know."""

    def __init__(self, **answers: tuple[int, Any]) -> None:
        self.answers = answers
        self.heard: list[tuple[str, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        found = next((name for name in self.answers if self._fits(name, request)), None)
        self.heard.append((found or f"{request.method} {request.path}", body))
        status, answer = self.answers[found] if found else (404, {"errcode": "M_UNRECOGNIZED", "error": "?"})
        return web.json_response(answer, status=status)

    def _fits(self, name: str, request: web.Request) -> bool:
        method, _, part = name.partition("_")
        return request.method == method.upper() and part in request.path

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.heard]


@asynccontextmanager
async def at(server: Server, metrics: Metrics | None = None) -> AsyncIterator[NioHomeserver]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    async with TestServer(app, host="127.0.0.1") as running:
        url = str(running.make_url(""))
        async with NioHomeserver.connect(url, BOT, "DEVICE", "secret", FakeClock(), metrics=metrics) as account:
            yield account


def versions(default: str, *others: str) -> tuple[int, Any]:
    available = dict.fromkeys([default, *others], "stable")
    return 200, {"capabilities": {"m.room_versions": {"default": default, "available": available}}}


@pytest.mark.parametrize(
    ("capabilities", "version"),
    [
        (versions("12", "11"), "12"),
        (versions("11", "12"), "11"),
        (versions("10", "11", "12"), "11"),
        (versions("9", "10"), "10"),
        ((200, {"capabilities": []}), "10"),
        (FORBIDDEN, "10"),
    ],
)
async def test_the_room_version_is_one_whose_rules_we_know(capabilities: tuple[int, Any], version: str) -> None:
    server = Server(get_capabilities=capabilities, put_createRoom=(200, {"room_id": ROOM}))
    async with at(server) as account:
        await account.create(PLAN, "a")
        await account.create(PLAN, "b")
    assert server.names == ["get_capabilities", "put_createRoom", "put_createRoom"]
    body = server.heard[-1][1]
    assert body["room_version"] == version
    users = body["power_level_content_override"]["users"]
    assert users == ({ANN: 50} if version == "12" else {ANN: 50, BOT: 100})


async def test_a_room_that_we_made_is_known_for_ours() -> None:
    server = Server(
        get_capabilities=versions("12"), put_createRoom=(200, {"room_id": ROOM}), put_state=(200, {"event_id": "$1"})
    )
    async with at(server) as account:
        await account.create(PLAN, "a")
        await account.set_state(ROOM, "m.room.power_levels", {"users": {ANN: 50, BOT: 100}})
    assert server.names == ["get_capabilities", "put_createRoom", "put_state"]
    assert server.heard[-1][1]["users"] == {ANN: 50}


async def test_a_server_that_knows_no_put_is_asked_by_post_from_then_on() -> None:
    server = Server(get_capabilities=versions("12"), post_createRoom=(200, {"room_id": ROOM}))
    async with at(server) as account:
        assert await account.create(PLAN, "a") == ROOM
        assert await account.create(PLAN, "b") == ROOM
    assert server.names[1:] == ["PUT /_matrix/client/v3/createRoom/a", "post_createRoom", "post_createRoom"]


async def test_a_refused_room_is_not_asked_for_twice() -> None:
    server = Server(get_capabilities=versions("12"), put_createRoom=FORBIDDEN, post_createRoom=(200, {"room_id": ROOM}))
    async with at(server) as account:
        with pytest.raises(Permanent):
            await account.create(PLAN, "a")
    assert "post_createRoom" not in server.names


async def test_a_removal_that_is_refused_of_somebody_who_is_there_stays_refused() -> None:
    server = Server(post_kick=FORBIDDEN, get_state=(200, {"membership": "join"}))
    async with at(server) as account:
        with pytest.raises(Permanent):
            await account.remove(ROOM, ANN, "")


async def test_a_removal_is_not_taken_for_done_where_the_state_is_hidden() -> None:
    server = Server(post_kick=FORBIDDEN, get_state=FORBIDDEN)
    async with at(server) as account:
        with pytest.raises(Permanent):
            await account.remove(ROOM, ANN, "")


EDIT = {
    "type": "m.room.message",
    "event_id": "$2",
    "sender": ANN,
    "content": {"m.new_content": {"body": "new"}, "m.relates_to": {"rel_type": "m.replace", "event_id": "$1"}},
}
SAID = {"type": "m.room.message", "event_id": "$1", "sender": ANN, "content": {"body": "old"}}


@pytest.mark.parametrize(
    ("answers", "body"),
    [
        ({"get_relations": (200, {"chunk": [EDIT]}), "get_event": (200, SAID)}, "new"),
        ({"get_event": (200, SAID)}, "old"),
        ({"get_event": (200, {**SAID, "unsigned": {"m.relations": {"m.replace": EDIT}}})}, "new"),
    ],
)
async def test_an_edit_counts_whether_the_server_tells_it_with_the_message_or_when_asked(
    answers: dict[str, Any], body: str
) -> None:
    async with at(Server(**answers)) as account:
        assert (await account.event(ROOM, EventId("$1")))["content"]["body"] == body


async def test_a_refusal_for_haste_is_the_callers_and_the_next_request_waits() -> None:
    server = Server(put_send=(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2000}))
    async with at(server) as account:
        with pytest.raises(RateLimited):
            await account.send(ROOM, "m.room.message", {}, "k")
        assert account.pace().per_second == 0.2
    assert server.names == ["put_send"]


async def test_a_gap_is_read_back_page_by_page_and_not_for_ever() -> None:
    pages = {"chunk": [{"event_id": "$2", "type": "t"}, "junk", {"event_id": "$1", "type": "t"}], "end": "same"}
    server = Server(get_messages=(200, pages))
    async with at(server) as account:
        events = await account.messages_before(ROOM, "t9", "t0")
    assert [event["event_id"] for event in events] == ["$1", "$2", "$1", "$2"]
    assert len(server.heard) == 2


@pytest.mark.parametrize("answer", [{}, {"next_batch": 3}])
def test_a_sync_answer_without_a_token_is_temporary(answer: dict[str, Any]) -> None:
    with pytest.raises(Temporary):
        batch_of(answer, None)


def test_what_is_malformed_in_a_sync_answer_is_left_out() -> None:
    event = {"event_id": "$1", "type": "m.room.message"}
    stripped = {"type": "m.room.member", "state_key": BOT}
    batch = batch_of(
        {
            "next_batch": "s1",
            "rooms": {
                "join": {
                    "!good": {"timeline": {"events": [event, 3, {"event_id": {}}], "limited": True, "prev_batch": "p"}},
                    "!whole": {"timeline": {"events": [event], "limited": False, "prev_batch": "p"}, "state": []},
                    "!odd": {"timeline": [], "state": {"events": {}}},
                    "!bad": 3,
                },
                "invite": {"!new": {"invite_state": {"events": [stripped]}}},
                "leave": [],
            },
        },
        None,
    )
    assert batch.joined == {
        RoomId("!good"): RoomDelta(timeline=(event,), gap="p"),
        RoomId("!whole"): RoomDelta(timeline=(event,)),
        RoomId("!odd"): RoomDelta(),
    }
    assert batch.invited == {RoomId("!new"): (stripped,)}
    assert batch.left == {}


def test_a_sync_that_hangs_is_given_up_soon_and_one_that_needs_long_gets_the_time() -> None:
    assert [sync_slack(unanswered) for unanswered in range(6)] == [10, 20, 40, 80, 120, 120]
    assert sync_slack(10**9) == 120


async def test_after_an_answer_the_next_sync_is_given_up_soon_again() -> None:
    server = Server(get_sync=(502, {}))
    async with at(server) as account:
        for _ in range(2):
            with pytest.raises(Temporary):
                await account.sync("s0", 0)
        assert account._unanswered == 2
        server.answers = {"get_sync": (200, {"next_batch": "s1"})}
        await account.sync("s0", 0)
        assert account._unanswered == 0


async def test_requests_are_counted_by_what_they_are_about_and_what_came_of_them() -> None:
    limited = (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1})
    metrics = Metrics()
    answers: dict[str, tuple[int, Any]] = {"put_send": (200, {"event_id": "$1"}), "post_invite": FORBIDDEN}
    async with at(Server(**answers, get_state=(502, {}), put_state=limited), metrics) as account:
        await account.send(ROOM, "m.room.message", {"body": "Hello"}, "key")
        for call in (account.invite(ROOM, ANN, ""), account.state(ROOM)):
            with pytest.raises(Temporary):
                await call
        with pytest.raises(RateLimited):
            await account.set_state(ROOM, "m.room.topic", {"topic": "x"})
    counted = {
        tuple(sample.labels.values()): sample.value for sample in samples(metrics, "breakout_bot_requests_total")
    }
    assert counted == {
        ("send", "ok"): 1,
        ("invite", "refused"): 1,
        ("state", "failed"): 2,  # once by itself, once to see whether the invite is there already
        ("state", "throttled"): 1,
    }
    waited = {sample.labels["urgency"] for sample in samples(metrics, "breakout_bot_turn_wait_seconds_count")}
    assert waited == {"message", "invite", "lock"}


def samples(metrics: Metrics, name: str) -> list[Any]:
    return [sample for family in metrics.registry.collect() for sample in family.samples if sample.name == name]


async def test_a_proxy_that_keeps_the_admin_api_back_is_not_asked_again() -> None:
    async with at(Server(post_join=(404, "page not found"))) as account:
        with pytest.raises(Permanent, match="a proxy"):
            await account.bring_in(ROOM, ANN)
