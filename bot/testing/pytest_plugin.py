"""Fixtures for tests against a real homeserver: enable it with `pytest_plugins = ["bot.testing.pytest_plugin"]`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count

import aiohttp
import pytest
import pytest_asyncio

from bot.testing.raw import RawUser, open_session
from bot.testing.synapse import Homeserver, Limits, SynapseMissing

_NEEDS_SYNAPSE = frozenset({"homeserver", "stock_homeserver", "people"})
_numbers = count(1)


class People:
    """Makes people for one test: nobody in another test has their names, and their syncs end with it."""

    def __init__(self, request: pytest.FixtureRequest, session: aiohttp.ClientSession) -> None:
        self._request = request
        self._session = session
        self._test = next(_numbers)
        self._made: list[RawUser] = []

    async def __call__(self, name: str, *, on: Homeserver | None = None, limited: bool = False) -> RawUser:
        """A person with this display name, by default at `homeserver`.

        `limited` makes an ordinary account, for which the server's rate limits hold.
        """
        server = on or self._request.getfixturevalue("homeserver")
        assert isinstance(server, Homeserver)
        user = await server.participant(self.localpart(name), name, session=self._session, limited=limited)
        self._made.append(user)
        return user

    def localpart(self, name: str) -> str:
        """A name for an account that nobody else has: `Ann Bee` becomes `ann_bee_7`."""
        return f"{'_'.join(name.lower().split())}_{self._test}"

    async def close(self) -> None:
        for user in self._made:
            await user.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a homeserver; let one worker have the stock one, since its tests mostly wait."""
    for item in items:
        needed = _NEEDS_SYNAPSE.intersection(getattr(item, "fixturenames", ()))
        if needed:
            item.add_marker("synapse")
        if "stock_homeserver" in needed and item.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("stock_homeserver"))


@pytest.fixture(scope="session")
def homeserver() -> Iterator[Homeserver]:
    """A Synapse without rate limits, one per process that runs tests."""
    yield from _running("off")


@pytest.fixture(scope="session")
def stock_homeserver() -> Iterator[Homeserver]:
    """A Synapse with the limits that it has where nobody configured any."""
    yield from _running("stock")


@pytest_asyncio.fixture
async def people(request: pytest.FixtureRequest) -> AsyncIterator[People]:
    """What makes the people of a test; they and their syncs end with it."""
    async with open_session() as session:
        made = People(request, session)
        try:
            yield made
        finally:
            await made.close()


def _running(limits: Limits) -> Iterator[Homeserver]:
    try:
        with Homeserver(limits=limits) as server:
            yield server
    except SynapseMissing as reason:
        pytest.skip(str(reason))
