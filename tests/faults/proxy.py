"""Stands between the bot and a homeserver, passes requests on, and lets any of them fail as networks fail."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web
from yarl import URL

from tests.faults.batches import Batches
from tests.faults.kinds import kind_of

HOST = "127.0.0.1"
PAGE = "<html><head><title>Bad gateway</title></head><body><h1>nginx</h1></body></html>"
_NOT_PASSED_ON = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "accept-encoding"}
)


class How(StrEnum):
    """What becomes of a request. The first ones do not reach the homeserver, the others do."""

    ERROR_500 = "500"
    PAGE_502 = "502 with a page"
    LIMITED = "429 with retry_after_ms"
    LIMITED_BARE = "429 without a body"
    LIMITED_HEADER = "429 with Retry-After"
    PROXY_401 = "401 of a proxy"
    PROXY_403 = "403 of a proxy"
    HANG = "hang, not acted"
    DROP_BEFORE = "dropped before it acted"

    PAGE_504_AFTER = "504 though it acted"
    TRUNCATED = "truncated"
    HANG_AFTER = "hang, acted"
    DROP_AFTER = "dropped after it acted"
    SLOW = "slow"

    GAP = "sync with a gap"
    REPEAT = "sync repeated"
    LATE = "a room of a sync comes late"
    OLD_STATE = "sync tells old state"


LIMITS = frozenset({How.LIMITED, How.LIMITED_BARE, How.LIMITED_HEADER})
SYNC_ONLY = frozenset({How.GAP, How.REPEAT, How.LATE, How.OLD_STATE})


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one request. `seconds`: how long it hangs or is slow, or how long a 429 says to wait."""

    how: How
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Boundary:
    """One request of the bot, the `nth` of its kind, counted from 1."""

    kind: str
    nth: int
    method: str
    target: str


@dataclass(frozen=True, slots=True)
class Passed:
    """How a request was answered: its status and what befell it; status 0 where no answer came."""

    boundary: Boundary
    status: int
    how: How | None = None


Decide: TypeAlias = Callable[[Boundary], Awaitable[Fault | None]]
"""Awaited before a request is passed on, says what befalls it; whoever kills the bot here returns `DROP_BEFORE`."""

Answered: TypeAlias = Callable[[Boundary], Awaitable[None]]
"""Awaited when the homeserver has acted and answered, and the bot does not know yet."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The `nth` request of a kind gets a fault, each one where `nth` is 0."""

    kind: str
    fault: Fault
    nth: int = 1


@dataclass
class Rules:
    """Faults by rule, and besides at random: each request with the probability `rate`, by `seed`."""

    rules: Sequence[Rule] = ()
    rate: float = 0.0
    faults: Sequence[Fault] = ()
    seed: int = 0
    kinds: frozenset[str] | None = None
    """Which kinds the random ones befall; None: all."""
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    async def __call__(self, boundary: Boundary) -> Fault | None:
        """A `Decide`."""
        for rule in self.rules:
            if rule.kind == boundary.kind and rule.nth in (0, boundary.nth):
                return rule.fault
        if self.kinds is not None and boundary.kind not in self.kinds:
            return None
        if self._chance.random() >= self.rate:
            return None
        possible = [fault for fault in self.faults if boundary.kind == "sync" or fault.how not in SYNC_ONLY]
        return self._chance.choice(possible) if possible else None


async def _nothing(boundary: Boundary) -> None:
    del boundary


class Proxy:
    """One homeserver as its network shows it; `decide` and `answered` may be exchanged at any time."""

    def __init__(self, upstream: str, decide: Decide = _nothing, answered: Answered = _nothing) -> None:
        self.upstream = upstream.rstrip("/")
        self.decide, self.answered = decide, answered
        self.url = ""
        self.passed: list[Passed] = []
        """Every request, in the order of their ends."""
        self._counts: Counter[str] = Counter()
        self._batches = Batches()
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """The proxy on a port of its own, until the block ends."""
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{rest:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as self._session:
            try:
                site = web.TCPSite(runner, HOST, 0)
                await site.start()
                self.url = f"http://{HOST}:{runner.addresses[0][1]}"
                yield self
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        kind = kind_of(request.method, request.raw_path, _json(raw))
        self._counts[kind] += 1
        boundary = Boundary(kind, self._counts[kind], request.method, request.raw_path)
        fault = await self.decide(boundary)
        try:
            answer = await self._answer(request, raw, boundary, fault)
        except aiohttp.ClientError:
            answer = None  # the homeserver is away
        self.passed.append(Passed(boundary, answer.status if answer else 0, fault.how if fault else None))
        if answer is None:
            return _dropped(request)
        if fault is not None and fault.how is How.TRUNCATED:
            return await _half(request, answer)
        return answer

    async def _answer(
        self, request: web.Request, raw: bytes, boundary: Boundary, fault: Fault | None
    ) -> web.Response | None:
        """What the bot is to get; None for no answer at all."""
        how = fault.how if fault else None
        seconds = fault.seconds if fault else 0.0
        if how in _REFUSALS:
            return _REFUSALS[how](seconds)
        if how is How.DROP_BEFORE:
            return None
        if how is How.HANG:
            await asyncio.sleep(seconds)
            return None
        answer = await self._forward(request, raw, boundary.kind, how)
        if _gone(request):
            return None
        await self.answered(boundary)
        if how is How.SLOW:
            await asyncio.sleep(seconds)
        elif how is How.HANG_AFTER:
            await asyncio.sleep(seconds)
            return None
        elif how is How.DROP_AFTER:
            return None
        elif how is How.PAGE_504_AFTER:
            return _page(504)
        return answer

    async def _forward(self, request: web.Request, raw: bytes, kind: str, how: How | None) -> web.Response:
        assert self._session is not None
        if kind == "messages_read" and (page := self._batches.filling(request.query)) is not None:
            return web.json_response(page)
        target = URL(self.upstream + request.raw_path, encoded=True)
        if kind == "sync" and self._batches.owes:
            target = target.update_query(timeout="0")
        headers = _kept(request.headers.items())
        async with self._session.request(
            request.method, target, data=raw or None, headers=headers, allow_redirects=False
        ) as answer:
            body = await answer.read()
            if kind == "sync" and answer.status == 200 and not _gone(request):
                body = json.dumps(self._changed(json.loads(body), how)).encode()
            return web.Response(status=answer.status, body=body, headers=_kept(answer.headers.items()))

    def _changed(self, batch: dict[str, Any], how: How | None) -> dict[str, Any]:
        if how is How.REPEAT:
            return self._batches.repeated(batch)
        batch = self._batches.whole(batch)
        self._batches.note(batch)
        if how is How.GAP:
            return self._batches.cut(batch)
        if how is How.OLD_STATE:
            return self._batches.with_old_state(batch)
        return self._batches.hold(batch) if how is How.LATE else batch


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _kept(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _NOT_PASSED_ON}


def _gone(request: web.Request) -> bool:
    """Whether nobody waits for the answer any more: a sync outlives the process that asked."""
    return request.transport is None or request.transport.is_closing()


def _error(status: int, errcode: str, **more: Any) -> web.Response:
    return web.json_response({"errcode": errcode, "error": "as the proxy was told", **more}, status=status)


def _page(status: int) -> web.Response:
    return web.Response(status=status, text=PAGE, content_type="text/html")


_REFUSALS: Mapping[How | None, Callable[[float], web.Response]] = {
    How.ERROR_500: lambda _: _error(500, "M_UNKNOWN"),
    How.PAGE_502: lambda _: _page(502),
    How.LIMITED: lambda seconds: _error(429, "M_LIMIT_EXCEEDED", retry_after_ms=round(seconds * 1000)),
    How.LIMITED_BARE: lambda _: web.Response(status=429),
    How.LIMITED_HEADER: lambda seconds: web.Response(status=429, headers={"Retry-After": str(round(seconds))}),
    How.PROXY_401: lambda _: _page(401),
    How.PROXY_403: lambda _: _page(403),
}


def _dropped(request: web.Request) -> web.Response:
    """Cut the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """The first half of an answer that announces all of it."""
    body = answer.body
    assert isinstance(body, bytes)
    half = web.StreamResponse(status=answer.status, headers={**_kept(answer.headers.items())})
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half
