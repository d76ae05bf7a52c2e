"""Each law runs at the homeserver in memory and at a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


@pytest.fixture(params=["fake", pytest.param("synapse", marks=pytest.mark.synapse)])
def real(request: pytest.FixtureRequest) -> Homeserver | None:
    """The running homeserver, or None where the one in memory is meant."""
    if request.param == "fake":
        return None
    server: Homeserver = request.getfixturevalue("homeserver")
    return server


@pytest_asyncio.fixture
async def world(real: Homeserver | None) -> AsyncIterator[World]:
    """The bot's account on one of them, without any past."""
    if real is None:
        yield in_memory(FakeServer(FakeClock()))
        return
    test = f"law{next(_numbers)}"
    login = await real.account(f"bot_{test}", "secret", "Breakout rooms")
    async with (
        open_session() as session,
        NioHomeserver.connect(real.url, login.user_id, login.device_id, login.access_token, SystemClock()) as account,
    ):

        async def person(name: str) -> Person:
            return OnSynapse(await real.participant(f"{name.lower()}_{test}", name, session=session))

        yield World(account, person)
