"""Each law runs at the homeserver in memory and at a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
import pytest_asyncio

from bot.clock import SystemClock
from bot.matrix.client import NioHomeserver
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeServer
from bot.testing.raw import open_session
from bot.testing.synapse import Homeserver
from tests.contract.worlds import OnSynapse, Person, World, in_memory

_numbers = count(1)
_FAKE, _SYNAPSE = "fake", pytest.param("homeserver", marks=pytest.mark.synapse, id="synapse")
_STOCK = pytest.param(
    "stock_homeserver", marks=[pytest.mark.synapse, pytest.mark.xdist_group("stock_homeserver")], id="stock"
)


@pytest.fixture(params=[_FAKE, _SYNAPSE])
def free(request: pytest.FixtureRequest) -> Homeserver | None:
    """A homeserver without rate limits."""
    return None if request.param == _FAKE else request.getfixturevalue(request.param)


@pytest.fixture(params=[_FAKE, _STOCK])
def stock(request: pytest.FixtureRequest) -> Homeserver | None:
    """A homeserver with the limits that it has where nobody configured any."""
    return None if request.param == _FAKE else request.getfixturevalue(request.param)


@pytest_asyncio.fixture
async def world(free: Homeserver | None) -> AsyncIterator[World]:
    """The bot's account, without any past, where nothing is limited."""
    async with _world(free) as made:
        yield made


@pytest_asyncio.fixture
async def usual(stock: Homeserver | None) -> AsyncIterator[World]:
    """The bot's account, without any past, where only the usual is let through."""
    async with _world(stock) as made:
        yield made


@asynccontextmanager
async def _world(server: Homeserver | None) -> AsyncIterator[World]:
    if server is None:
        yield in_memory(FakeServer(FakeClock()))
        return
    test = f"law{next(_numbers)}"
    login = await server.account(f"bot_{test}", "secret", "Breakout rooms")
    async with (
        open_session() as session,
        NioHomeserver.connect(server.url, login.user_id, login.device_id, login.access_token, SystemClock()) as account,
    ):

        async def person(name: str) -> Person:
            return OnSynapse(await server.participant(f"{name.lower()}_{test}", name, session=session))

        yield World(account, person, lambda: server.make_admin(login.user_id))
