"""The proxy passes everything on unchanged, and breaks what it is told to, and only that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.faults.kinds import kind_of
from tests.faults.proxy import HOST, Boundary, Fault, How, Proxy, Rule, Rules

ROOM = "/_matrix/client/v3/rooms/%21a%3Ahs"


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("PUT", "/_matrix/client/v3/createRoom/key", "create_room"),
        ("POST", "/_matrix/client/v3/createRoom", "create_room"),
        ("POST", f"{ROOM}/invite", "invite"),
        ("POST", f"{ROOM}/kick", "kick"),
        ("POST", f"{ROOM}/leave", "leave"),
        ("POST", f"{ROOM}/forget", "forget"),
        ("POST", "/_matrix/client/v3/join/%21a%3Ahs?via=x", "join"),
        ("PUT", f"{ROOM}/send/m.room.message/1", "send_message"),
        ("PUT", f"{ROOM}/send/m.reaction/1", "send_reaction"),
        ("PUT", f"{ROOM}/send/m.room.encrypted/1", "send:m.room.encrypted"),
        ("PUT", f"{ROOM}/state/m.room.power_levels/", "state:m.room.power_levels"),
        ("GET", f"{ROOM}/state/m.room.member/%40a%3Ahs", "state_read"),
        ("GET", f"{ROOM}/state", "state_read"),
        ("PUT", f"{ROOM}/redact/%24e/1", "redact"),
        ("GET", f"{ROOM}/messages?from=x", "messages_read"),
        ("GET", "/_matrix/client/v3/sync?since=s", "sync"),
        ("PUT", "/_matrix/client/v3/user/%40a%3Ahs/account_data/x", "account_data_put"),
        ("POST", "/_matrix/client/v3/keys/query", "keys_query"),
        ("POST", "/_matrix/client/v3/keys/device_signing/upload", "keys_device_signing_upload"),
        ("PUT", "/_matrix/client/v3/sendToDevice/m.room.encrypted/1", "to_device"),
        ("PUT", "/_matrix/client/v3/room_keys/keys?version=1", "room_key_put"),
        ("GET", "/_matrix/client/versions", "versions"),
        ("GET", "/health", "health"),
        ("GET", "/", "other"),
    ],
)
def test_each_request_has_a_kind(method: str, target: str, kind: str) -> None:
    assert kind_of(method, target) == kind


def test_an_edit_is_no_new_message() -> None:
    body = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$e"}}
    assert kind_of("PUT", f"{ROOM}/send/m.room.message/1", body) == "send_edit"


class Upstream:
    """A homeserver that answers with what it was asked, and a sync with the next of its batches."""

    def __init__(self) -> None:
        self.acted: list[str] = []
        self.batches: list[dict[str, Any]] = []
        self.timeouts: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.acted.append(f"{request.method} {request.raw_path}")
        if request.path.endswith("/sync"):
            self.timeouts.append(request.query.get("timeout"))
            return web.json_response(self.batches.pop(0))
        return web.json_response({"body": body.decode(), "token": request.headers.get("Authorization")}, status=201)


@asynccontextmanager
async def standing(
    decide: Callable[[Boundary], Any] | None = None,
) -> AsyncIterator[tuple[Proxy, Upstream, aiohttp.ClientSession]]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", upstream.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        proxy = Proxy(f"http://{HOST}:{runner.addresses[0][1]}")
        if decide is not None:
            proxy.decide = decide
        async with proxy.running(), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
            yield proxy, upstream, client
    finally:
        await runner.cleanup()


def always(how: How, seconds: float = 0.0) -> Rules:
    return Rules([Rule("invite", Fault(how, seconds), nth=0)])


async def test_a_request_passes_as_it_is() -> None:
    async with standing() as (proxy, upstream, client):
        where = URL(proxy.url + f"{ROOM}/send/m.room.message/a%2Fb?x=%20", encoded=True)
        async with client.put(where, json={"é": 1}, headers={"Authorization": "Bearer t"}) as answer:
            assert answer.status == 201
            found = await answer.json()
        assert json.loads(found["body"]) == {"é": 1}
        assert found["token"] == "Bearer t"
        assert upstream.acted == [f"PUT {ROOM}/send/m.room.message/a%2Fb?x=%20"]
        assert [(p.boundary.kind, p.boundary.nth, p.status, p.how) for p in proxy.passed] == [
            ("send_message", 1, 201, None)
        ]


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (How.ERROR_500, 500),
        (How.PAGE_502, 502),
        (How.LIMITED, 429),
        (How.LIMITED_BARE, 429),
        (How.LIMITED_HEADER, 429),
        (How.PROXY_401, 401),
        (How.PROXY_403, 403),
    ],
)
async def test_a_refused_request_does_not_reach_the_homeserver(how: How, status: int) -> None:
    async with standing(always(how, 180)) as (proxy, upstream, client):
        async with client.post(proxy.url + f"{ROOM}/invite", json={}) as answer:
            assert answer.status == status
            text = await answer.text()
            assert ("<html>" in text) == (how in (How.PAGE_502, How.PROXY_401, How.PROXY_403))
            assert answer.headers.get("Retry-After") == ("180" if how is How.LIMITED_HEADER else None)
            assert ("180000" in text) == (how is How.LIMITED)
        assert upstream.acted == []
        assert [p.how for p in proxy.passed] == [how]


@pytest.mark.parametrize("how", [How.DROP_BEFORE, How.HANG, How.DROP_AFTER, How.HANG_AFTER])
async def test_a_lost_answer_says_nothing_of_whether_it_acted(how: How) -> None:
    async with standing(always(how)) as (proxy, upstream, client):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.post(proxy.url + f"{ROOM}/invite", json={})
        assert bool(upstream.acted) == (how in (How.DROP_AFTER, How.HANG_AFTER))
        assert proxy.passed[0].status == 0 or upstream.acted


async def test_a_truncated_answer_breaks_off_though_it_acted() -> None:
    async with standing(always(How.TRUNCATED)) as (proxy, upstream, client):
        async with client.post(proxy.url + f"{ROOM}/invite", json={}) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        assert upstream.acted


async def test_a_page_may_come_though_it_acted() -> None:
    async with standing(always(How.PAGE_504_AFTER)) as (proxy, upstream, client):
        async with client.post(proxy.url + f"{ROOM}/invite", json={}) as answer:
            assert answer.status == 504
        assert upstream.acted


async def test_a_slow_answer_comes_at_last() -> None:
    async with (
        standing(always(How.SLOW, 0.01)) as (proxy, _, client),
        client.post(proxy.url + f"{ROOM}/invite") as answer,
    ):
        assert answer.status == 201


async def test_a_rule_holds_for_one_request_of_its_kind() -> None:
    rules = Rules([Rule("invite", Fault(How.ERROR_500), nth=2)])
    async with standing(rules) as (proxy, _, client):
        for verb in ("invite", "kick", "invite", "invite"):
            async with client.post(proxy.url + f"{ROOM}/{verb}"):
                pass
        assert [p.status for p in proxy.passed] == [201, 201, 500, 201]


async def test_random_faults_repeat_with_their_seed() -> None:
    faults = [Fault(How.ERROR_500), Fault(How.PAGE_502), Fault(How.GAP)]
    boundaries = [Boundary("invite", n, "POST", "") for n in range(200)]
    first, again = Rules(rate=0.3, faults=faults, seed=7), Rules(rate=0.3, faults=faults, seed=7)
    drawn = [await first(boundary) for boundary in boundaries]
    assert drawn == [await again(boundary) for boundary in boundaries]
    assert 30 < sum(fault is not None for fault in drawn) < 90
    assert Fault(How.GAP) not in drawn
    none = Rules(rate=1, faults=faults, kinds=frozenset({"kick"}))
    assert await none(boundaries[0]) is None


async def test_who_watches_is_asked_before_and_told_after_it_acted() -> None:
    seen: list[tuple[str, int]] = []
    async with standing() as (proxy, upstream, client):

        async def decide(boundary: Boundary) -> Fault | None:
            seen.append(("before", len(upstream.acted)))
            return None

        async def answered(boundary: Boundary) -> None:
            seen.append(("after", len(upstream.acted)))

        proxy.decide, proxy.answered = decide, answered
        async with client.post(proxy.url + f"{ROOM}/invite"):
            pass
        assert seen == [("before", 0), ("after", 1)]


async def test_a_homeserver_that_is_away_is_a_dropped_connection() -> None:
    proxy = Proxy(f"http://{HOST}:9")
    async with proxy.running(), aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.get(proxy.url + "/_matrix/client/versions")


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"event_id": f"${name}", "type": "m.room.message", **more}


def member(name: str, membership: str) -> dict[str, Any]:
    return event(f"{name}-{membership}", state_key=name) | {"type": "m.room.member"}


def batch(token: str, **rooms: list[dict[str, Any]]) -> dict[str, Any]:
    joined = {room: {"timeline": {"events": events, "prev_batch": "p"}} for room, events in rooms.items()}
    return {"next_batch": token, "rooms": {"join": joined}}


async def synced(proxy: Proxy, client: aiohttp.ClientSession) -> dict[str, Any]:
    async with client.get(proxy.url + "/_matrix/client/v3/sync?since=s&timeout=30000") as answer:
        found: dict[str, Any] = await answer.json()
    return found


def nth_sync(how: How, nth: int = 1) -> Rules:
    return Rules([Rule("sync", Fault(how), nth)])


async def test_a_gap_can_be_filled() -> None:
    async with standing(nth_sync(How.GAP)) as (proxy, upstream, client):
        upstream.batches = [batch("t", a=[member("@x", "join"), event("1"), event("2")], b=[event("3")])]
        found = (await synced(proxy, client))["rooms"]["join"]
        timeline = found["a"]["timeline"]
        assert [e["event_id"] for e in timeline["events"]] == ["$2"]
        assert timeline["limited"]
        assert [e["event_id"] for e in found["a"]["state"]["events"]] == ["$@x-join"]
        assert "limited" not in found["b"]["timeline"]
        where = f"{proxy.url}/_matrix/client/v3/rooms/a/messages"
        async with client.get(where, params={"dir": "b", "from": timeline["prev_batch"], "to": "s"}) as answer:
            page = await answer.json()
        assert [e["event_id"] for e in page["chunk"]] == ["$1", "$@x-join"]
        assert "end" not in page


async def test_a_batch_may_come_again() -> None:
    async with standing(nth_sync(How.REPEAT, 2)) as (proxy, upstream, client):
        first, second = batch("t1", a=[event("1")]), batch("t2", a=[event("2")])
        upstream.batches = [first, second]
        assert [await synced(proxy, client) for _ in range(2)] == [first, first]


async def test_state_that_was_replaced_may_be_told_once_more() -> None:
    async with standing(nth_sync(How.OLD_STATE, 2)) as (proxy, upstream, client):
        join, leave, later = member("@x", "join"), member("@x", "leave"), member("@y", "join")
        upstream.batches = [batch("t1", a=[join, leave, later]), batch("t2", a=[event("1")], b=[event("2")])]
        await synced(proxy, client)
        found = (await synced(proxy, client))["rooms"]["join"]
        assert found["a"]["state"]["events"] == [join]
        assert found["b"]["state"]["events"] == []


async def test_what_was_told_twice_is_not_old() -> None:
    async with standing(nth_sync(How.OLD_STATE, 3)) as (proxy, upstream, client):
        join, leave = member("@x", "join"), member("@x", "leave")
        upstream.batches = [batch("t1", a=[join, leave]), batch("t2", a=[leave]), batch("t3", a=[event("1")])]
        for _ in range(2):
            await synced(proxy, client)
        assert (await synced(proxy, client))["rooms"]["join"]["a"]["state"]["events"] == [join]


async def test_a_room_may_come_late_but_its_own_order_holds() -> None:
    async with standing(nth_sync(How.LATE)) as (proxy, upstream, client):
        upstream.batches = [batch("t1", a=[event("1")], b=[event("2")]), batch("t2", a=[event("3")])]
        assert list((await synced(proxy, client))["rooms"]["join"]) == ["b"]
        found = (await synced(proxy, client))["rooms"]["join"]
        assert [e["event_id"] for e in found["a"]["timeline"]["events"]] == ["$1", "$3"]
        assert upstream.timeouts == ["30000", "0"], "what was held back must not wait for news"


async def test_a_proxy_may_hold_many_requests_at_once() -> None:
    held, going = asyncio.Event(), asyncio.Event()

    async def decide(boundary: Boundary) -> Fault | None:
        if boundary.kind == "kick":
            held.set()
            await going.wait()
        return None

    async with standing(decide) as (proxy, upstream, client):
        kick = asyncio.create_task(client.post(proxy.url + f"{ROOM}/kick"))
        await held.wait()
        async with client.post(proxy.url + f"{ROOM}/invite") as answer:
            assert answer.status == 201
        going.set()
        (await kick).release()
        assert [line.rsplit("/", 1)[1] for line in upstream.acted] == ["invite", "kick"]
