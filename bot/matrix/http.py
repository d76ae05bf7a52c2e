"""One request to a homeserver and what its answer means: nio carries it, the judgement is ours."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote, urlencode

import aiohttp
from nio.client.async_client import AsyncClient, AsyncClientConfig

from bot.errors import (
    Foreign,
    Interactive,
    LoginLost,
    MatrixError,
    Permanent,
    RateLimited,
    Silent,
    Temporary,
    Unreachable,
)
from bot.matrix.received import received
from bot.metrics import Metrics

USUAL_TIMEOUT = 30.0
"""Seconds for a request that neither makes a room nor waits for news."""

PAUSE_WHEN_NOT_TOLD = timedelta(seconds=5)
"""How long a 429 means us to wait that does not say so; a stock Synapse's one token."""

LONGEST_PAUSE = timedelta(hours=1)
"""More than this no server is believed."""

_MOST = 10**9
_LOST_LOGIN = frozenset({"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"})
_WANTS_TLS = re.compile(rb"HTTPS (?:port|server)|SSL-enabled server port")
"""How nginx, Go's servers (Caddy, Traefik) and Apache answer somebody who speaks to them without TLS."""

_PERMANENT_WITHOUT_ERRCODE = frozenset({405, 413, 414})
"""Every proxy says these of the request itself; a 401, 403 or 404 of a proxy may be gone in a minute."""


Params: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The JSON of a success. `server_time` is its `Date` header."""

    json: Any
    server_time: datetime | None = None

    def text(self, name: str) -> str:
        """A field that the specification promises; `Temporary` where it is missing, as in every broken answer."""
        value = self.json.get(name)
        if not isinstance(value, str):
            raise Temporary(f"an answer without {name}")
        return value


@dataclass(frozen=True, slots=True)
class Service:
    """An application service that acts as one of its users, on that user's device: no user's limits hold for it.

    Application service API, "Identity assertion"; the device since Matrix 1.17, and older servers overlook it.
    """

    token: str
    user: str
    device: str

    def added_to(self, query: Params | None) -> Params:
        """The query with what says for whom the service acts."""
        pairs = list(query.items()) if isinstance(query, Mapping) else list(query or ())
        return [*pairs, ("user_id", self.user), ("device_id", self.device)]


class Ask(Protocol):
    """One request of an account to its homeserver, as `ask` makes it."""

    async def __call__(
        self, method: str, where: str, body: Mapping[str, Any] | bytes | None = None, query: Any = None, **more: Any
    ) -> Answer: ...


def path(*parts: str, version: str = "v3") -> str:
    """The parts, percent-encoded and joined, below a version of the client-server API."""
    return f"/_matrix/client/{version}/" + "/".join(quote(part, safe="") for part in parts)


_NAMES = frozenset({"sync", "createRoom", "join", "capabilities", "sendToDevice"})
_VERBS = frozenset(
    [
        "send",
        "redact",
        "state",
        "invite",
        "kick",
        "ban",
        "unban",
        "leave",
        "forget",
        "messages",
        "members",
        "event",
        "relations",
    ]
)


def endpoint(where: str) -> str:
    """What the request of a `path` is about, its ids left out: one of few words, for metrics."""
    parts = where.removeprefix("/_matrix/client/v3/").removeprefix("/_matrix/client/v1/").split("/")
    match parts:
        case "rooms", _, verb, *_ if verb in _VERBS:
            return verb
        case "keys", what, *_:
            return f"keys/{what}"
        case "user", *_:
            return "account_data"
        case name, *_ if name in _NAMES:
            return name
        case "", "_synapse", "admin", *_:
            return "admin"
    return "other"


@contextmanager
def counted(metrics: Metrics, where: str) -> Iterator[None]:
    """Count the request that is made inside by what it is about and what comes of it."""
    began, outcome = time.monotonic(), "failed"
    try:
        yield
        outcome = "ok"
    except RateLimited:
        outcome = "throttled"
        raise
    except Permanent:
        outcome = "refused"
        raise
    finally:
        metrics.requested(endpoint(where), outcome, time.monotonic() - began)


@asynccontextmanager
async def open_client(url: str, token: str = "") -> AsyncIterator[AsyncClient]:
    """A nio client that repeats nothing by itself: what is not idempotent would be done twice."""
    config = AsyncClientConfig(max_timeouts=0, max_limit_exceeded=0, encryption_enabled=False)
    client = AsyncClient(url.rstrip("/"), config=config)
    client.access_token = token
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def asking(url: str, token: str = "") -> AsyncIterator[Ask]:
    """Requests to a homeserver with an access token, or as nobody."""
    async with open_client(url, token) as client:
        yield partial(ask, client)


async def ask(
    client: AsyncClient,
    method: str,
    where: str,
    body: Mapping[str, Any] | bytes | None = None,
    query: Params | None = None,
    *,
    timeout_s: float = USUAL_TIMEOUT,
    expect: type[Any] = dict,
    service: Service | None = None,
) -> Answer:
    """Send one request and return the answer, a JSON value of the type `expect`. Bytes to send are a PNG picture.

    With `service` it is that which asks, and not the client.
    Raises `RateLimited`, `Temporary`, `Permanent` or `LoginLost`. nio's own parsing is passed by, since it takes a
    proxy's error page for a success (nio 0.26, `create_matrix_response`).
    """
    token = service.token if service else client.access_token
    query = service.added_to(query) if service else query
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None
    if isinstance(body, bytes):
        headers["Content-Type"], data = "image/png", body
    elif body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    if query:
        where += "?" + urlencode(query)
    try:
        response = await client.send(method, where, data, headers, timeout=_total(timeout_s))
        async with response:
            raw = await response.read()
    except TimeoutError as error:
        raise Silent(f"no answer within {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise _unreachable(error) from error
    if response.history and response.url.origin() != response.history[0].url.origin():
        # aiohttp has gone there without the token, and made a POST a GET
        raise Unreachable(f"it sends us on to {response.url.origin()}, which may be its address")
    content = _parsed(raw)
    if response.status == HTTPStatus.BAD_REQUEST and content is None and _WANTS_TLS.search(raw):
        raise Unreachable("that port wants https:// instead of http://")
    if response.status >= 300:  # noqa: PLR2004 - the classes of HTTP's status codes
        raise _refusal(response.status, content if isinstance(content, dict) else {}, response.headers)
    if not isinstance(content, expect):
        raise Temporary(f"HTTP {response.status} with a body that is no Matrix answer")
    return Answer(content, _date(response.headers.get("Date")))


def _unreachable(error: Exception) -> Unreachable:
    """Why there was no answer, as one says it to an admin."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"the name {error.host} is not known")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unreachable(f"the certificate of {error.host} is not valid")
    if isinstance(error, aiohttp.ClientSSLError):
        return Unreachable(f"{error.host} speaks no TLS at port {error.port}, so that it may want http://")
    if isinstance(error, aiohttp.ClientConnectorError):
        why = os.strerror(error.os_error.errno).lower() if error.os_error.errno else "nothing listens there"
        return Unreachable(why)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return Silent("the connection was closed without an answer")
    return Unreachable("the connection was closed before the answer was whole")


def _total(seconds: float) -> Any:
    # nio declares a plain number here, which aiohttp takes for the same but warns of
    return aiohttp.ClientTimeout(total=seconds)


def _parsed(raw: bytes) -> Any:
    """The JSON of a body; None where it is none."""
    try:
        return received(raw)
    except ValueError:
        return None


def _refusal(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> MatrixError:
    errcode, message = body.get("errcode"), str(body.get("error", f"HTTP {status}"))
    if status == 429 or errcode == "M_LIMIT_EXCEEDED":  # noqa: PLR2004
        pause = _pause(body, headers)
        return RateLimited(PAUSE_WHEN_NOT_TOLD if pause is None else pause)
    if status in (401, 403) and errcode in _LOST_LOGIN:
        return LoginLost(f"{errcode}: {message}")
    if status == 401 and isinstance(body.get("flows"), list):  # noqa: PLR2004
        return Interactive(
            str(body.get("session", "")), str(body.get("error", "the account's password is wanted")), body["flows"]
        )
    if 400 <= status < 500 and (isinstance(errcode, str) or status in _PERMANENT_WITHOUT_ERRCODE):  # noqa: PLR2004
        return Permanent(status, str(errcode or f"HTTP_{status}"), message)
    if 400 <= status < 500:  # noqa: PLR2004
        return Foreign(status, _pause(body, headers))
    return Temporary(f"HTTP {status}: {message}", _pause(body, headers))


def _pause(body: Mapping[str, Any], headers: Mapping[str, str]) -> timedelta | None:
    """How long the server asks us to wait: in the body up to 2023, as a header since (Matrix 1.10)."""
    said = body.get("retry_after_ms")
    if isinstance(said, int | float) and not isinstance(said, bool):
        return _believed(min(said, _MOST) / 1000)
    header = headers.get("Retry-After", "").strip()
    if header.isdecimal():
        return _believed(int(header[:9]))
    moment, now = _date(header), _date(headers.get("Date"))
    return _believed((moment - (now or datetime.now(UTC))).total_seconds()) if moment else None


def _believed(seconds: float) -> timedelta:
    if math.isnan(seconds):
        return PAUSE_WHEN_NOT_TOLD
    return timedelta(seconds=min(max(0.0, seconds), LONGEST_PAUSE.total_seconds()))


def _date(header: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
