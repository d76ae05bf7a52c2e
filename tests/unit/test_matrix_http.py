"""What an answer means, of a homeserver or of the proxy before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.errors import LoginLost, Permanent, RateLimited, Silent, Temporary
from bot.matrix.http import Answer, ask, open_client, path

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


async def answer_to(handler: Handler, **more: Any) -> Answer:
    async with serving(handler) as url, open_client(url, "secret") as client:
        return await ask(client, "GET", path("sync"), **more)


def says(status: int, text: str, headers: dict[str, str] | None = None, kind: str = "application/json") -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers, content_type=kind)

    return handler


async def test_a_success_is_its_json_and_the_servers_time() -> None:
    answer = await answer_to(says(200, '{"a": 1}', {"Date": "Mon, 23 Nov 2026 14:00:00 GMT"}))
    assert answer == Answer({"a": 1}, datetime(2026, 11, 23, 14, tzinfo=UTC))


async def test_the_request_carries_token_query_and_body() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.update(path=request.raw_path, auth=request.headers["Authorization"], body=await request.json())
        return web.json_response({})

    async with serving(handler) as url, open_client(url + "/", "secret") as client:
        await ask(client, "PUT", path("rooms", "!a/b:x", "send", "k y%"), {"ü": "🙂"}, [("via", "a b"), ("via", "c&d")])
    assert seen["path"].startswith("/_matrix/client/v3/rooms/")
    assert "a%2Fb" in seen["path"]
    assert "k%20y%25?via=a+b&via=c%26d" in seen["path"]
    assert (seen["auth"], seen["body"]) == ("Bearer secret", {"ü": "🙂"})


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (502, HTML, "text/html"),
        (500, '{"errcode": "M_UNKNOWN", "error": "Internal server error"}', "application/json"),
        (503, "", "text/plain"),
        (200, HTML, "text/html"),
        (200, "[1, 2]", "application/json"),
        (200, '{"a": ', "application/json"),
        (200, "[" * 100_000, "application/json"),
        (401, HTML, "text/html"),
        (403, HTML, "text/html"),
        (404, "404 page not found", "text/plain"),
        (304, "", "text/plain"),
    ],
)
async def test_what_is_no_answer_of_a_homeserver_is_temporary(status: int, text: str, kind: str) -> None:
    with pytest.raises(Temporary):
        await answer_to(says(status, text, kind=kind))


@pytest.mark.parametrize(
    ("text", "headers", "seconds"),
    [
        ('{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 4448}', {"Retry-After": "60"}, 4.448),
        ('{"errcode": "M_LIMIT_EXCEEDED"}', {"Retry-After": "7"}, 7),
        ("", {"Retry-After": "7"}, 7),
        (HTML, {"Retry-After": "Mon, 23 Nov 2026 14:00:09 GMT", "Date": "Mon, 23 Nov 2026 14:00:00 GMT"}, 9),
        ("", {}, 5),
        ("", {"Retry-After": "soon"}, 5),
        ('{"retry_after_ms": "soon"}', {}, 5),
        ('{"retry_after_ms": NaN}', {}, 5),
        ('{"retry_after_ms": -3}', {"Retry-After": "7"}, 0),
        ('{"retry_after_ms": 1e999}', {}, 3600),
        ("", {"Retry-After": "9" * 5000}, 3600),
    ],
)
async def test_a_refusal_for_haste_says_how_long_to_wait(text: str, headers: dict[str, str], seconds: float) -> None:
    with pytest.raises(RateLimited) as refused:
        await answer_to(says(429, text, headers))
    assert refused.value.retry_after == timedelta(seconds=seconds)


async def test_a_server_that_is_down_may_say_for_how_long() -> None:
    with pytest.raises(Temporary) as refused:
        await answer_to(says(503, HTML, {"Retry-After": "30"}))
    assert refused.value.retry_after == timedelta(seconds=30)


@pytest.mark.parametrize("errcode", ["M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"])
async def test_a_token_that_is_no_longer_valid_is_a_lost_login(errcode: str) -> None:
    with pytest.raises(LoginLost, match=errcode):
        await answer_to(says(401, f'{{"errcode": "{errcode}", "error": "no", "soft_logout": true}}'))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
async def test_a_refusal_is_permanent_and_keeps_its_code(status: int) -> None:
    with pytest.raises(Permanent) as refused:
        await answer_to(says(status, '{"errcode": "M_FORBIDDEN", "error": "You may not."}'))
    assert (refused.value.status, refused.value.errcode) == (status, "M_FORBIDDEN")
    assert refused.value.message == "You may not."


async def test_a_request_too_large_for_the_proxy_is_permanent() -> None:
    with pytest.raises(Permanent, match="HTTP_413"):
        await answer_to(says(413, HTML, kind="text/html"))


async def test_a_truncated_answer_is_temporary() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"next_batch":')
        assert request.transport is not None
        request.transport.close()
        return response

    with pytest.raises(Temporary):
        await answer_to(handler)


@pytest.mark.parametrize("body", [b"\xff\xfe{}", b'{"a": "\xff"}'])
async def test_an_answer_that_is_no_utf8_is_temporary(body: bytes) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    with pytest.raises(Temporary):
        await answer_to(handler)


async def test_a_body_that_is_not_compressed_as_it_says_is_temporary() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"{}", headers={"Content-Encoding": "gzip"})

    with pytest.raises(Temporary):
        await answer_to(handler)


@pytest.mark.parametrize("started", [False, True])
async def test_an_answer_that_never_ends_is_temporary(*, started: bool) -> None:
    ended = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if started:
            await response.prepare(request)
            await response.write(b'{"a"')
        await ended.wait()
        return response

    async with serving(handler) as url, open_client(url) as client:
        with pytest.raises(Silent, match="no answer within"):
            await ask(client, "GET", path("sync"), timeout_s=0.05)
        ended.set()


async def test_a_server_that_is_not_there_is_temporary() -> None:
    async with serving(says(200, "{}")) as url:
        pass
    async with open_client(url) as client:
        with pytest.raises(Temporary):
            await ask(client, "GET", path("sync"))


async def test_half_a_pair_of_surrogates_does_not_get_in() -> None:
    answer = await answer_to(says(200, r'{"half": "a\ud83d", "whole": "\ud83d\ude42 \\ud83d"}'))
    assert answer.json == {"half": "a�", "whole": r"🙂 \ud83d"}


async def test_a_promised_field_that_is_missing_is_temporary() -> None:
    answer = await answer_to(says(200, '{"room_id": 3}'))
    with pytest.raises(Temporary):
        answer.text("room_id")
