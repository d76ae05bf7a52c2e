"""The bot's identity at a real homeserver: made once, never replaced by itself, restored by the recovery key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Temporary
from bot.matrix.client import login_password
from bot.matrix.crypto.cross_signing import Account, as_others_see_it, has_recovery, new_recovery, set_up
from bot.matrix.crypto.identity import Identity, IdentityError
from bot.matrix.crypto.machine import Machine
from bot.matrix.crypto.secret_storage import SecretError, new_key, written
from bot.matrix.http import Answer, ask, open_client, path
from bot.matrix.ids import UserId
from bot.testing.pytest_plugin import People
from bot.testing.synapse import Homeserver


class Killed(BaseException):
    """The process ended."""


class Wire:
    """Requests to the homeserver, until the process is killed: before the request, or after it acted."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.left: int | None = None
        self.acts_last = False
        self.writes: list[str] = []

    async def __call__(self, method: str, where: str, *more: Any, **named: Any) -> Answer:
        if self.left == 0 and not self.acts_last:
            raise Killed
        answer = await ask(self._client, method, where, *more, **named)
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1
        if method != "GET" and "query" not in where:
            self.writes.append(where.rpartition("/v3/")[2])
        return answer


@asynccontextmanager
async def device(homeserver: Homeserver, name: str, folder: Path) -> AsyncIterator[tuple[Account, Wire]]:
    """A new device of an account, its keys uploaded."""
    user = UserId(homeserver.user_id(name))
    device_id, token = await login_password(homeserver.url, user, "secret", "the bot")
    machine = Machine(user, device_id, folder, "key")
    async with open_client(homeserver.url, token) as client:
        await ask(client, "POST", path("keys", "upload"), machine.to_publish(one_time_keys=0, has_fallback=True))
        machine.published()
        wire = Wire(client)
        try:
            yield Account(wire, user, device_id, machine.sign, folder, "key"), wire
        finally:
            machine.close()


@pytest.fixture
async def name(homeserver: Homeserver, people: People) -> str:
    name = people.localpart("bot")
    await homeserver.register(name, "secret")
    return name


async def test_it_is_made_once_and_then_left_alone(homeserver: Homeserver, name: str, tmp_path: Path) -> None:
    async with device(homeserver, name, tmp_path) as (account, wire):
        assert not (await as_others_see_it(account.ask, account.me, account.device)).holds
        await set_up(account)
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds
        first, wire.writes = Identity.kept(account.file, account.file_key), []
        await set_up(account)
        assert wire.writes == []
        assert Identity.kept(account.file, account.file_key) == first


@pytest.mark.parametrize("acts_last", [False, True])
@pytest.mark.parametrize("requests", range(6))
async def test_a_kill_at_any_request_is_made_up_for(
    homeserver: Homeserver, name: str, tmp_path: Path, requests: int, acts_last: bool
) -> None:
    async with device(homeserver, name, tmp_path) as (account, wire):
        wire.left, wire.acts_last = requests, acts_last
        try:
            await set_up(account)
        except Killed:
            wire.left = None
            await set_up(account)
        wire.left = None
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds


async def test_a_lost_store_is_restored_with_the_recovery_key(
    homeserver: Homeserver, name: str, tmp_path: Path
) -> None:
    async with device(homeserver, name, tmp_path / "old") as (account, _):
        await set_up(account)
        assert not await has_recovery(account)
        recovery_key = await new_recovery(account)
        assert await has_recovery(account)
        old = Identity.kept(account.file, account.file_key)
    async with device(homeserver, name, tmp_path / "new") as (account, wire):
        for wrong, error in ((None, IdentityError), ("EsTc", SecretError), (written(new_key()), SecretError)):
            with pytest.raises(error):
                await set_up(account, recovery_key=wrong)
        assert wire.writes == []
        assert not account.file.exists()
        await set_up(account, recovery_key=recovery_key)
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds
        assert Identity.kept(account.file, account.file_key) == old


async def test_a_new_recovery_key_takes_the_place_of_the_old_one(
    homeserver: Homeserver, name: str, tmp_path: Path
) -> None:
    async with device(homeserver, name, tmp_path / "old") as (account, _):
        await set_up(account)
        first, second = await new_recovery(account), await new_recovery(account)
    async with device(homeserver, name, tmp_path / "new") as (account, _):
        with pytest.raises(SecretError):
            await set_up(account, recovery_key=first)
        await set_up(account, recovery_key=second)


async def test_another_identity_is_never_replaced_by_itself_and_on_purpose_with_the_password(
    homeserver: Homeserver, name: str, tmp_path: Path
) -> None:
    async with device(homeserver, name, tmp_path / "one") as (account, _):
        await set_up(account)
        kept = Identity.kept(account.file, account.file_key)
        with pytest.raises(IdentityError, match="password"):
            await set_up(account, anew=True)
        assert Identity.kept(account.file, account.file_key) == kept
        await set_up(account)
    async with device(homeserver, name, tmp_path / "two") as (account, wire):
        Identity.new().keep(account.file, account.file_key)
        with pytest.raises(IdentityError, match="another identity"):
            await set_up(account)
        assert wire.writes == []
        with pytest.raises(IdentityError, match="password"):
            await set_up(account, anew=True)
        with pytest.raises(IdentityError, match="password"):
            await set_up(account, anew=True, password="wrong")
        await set_up(account, anew=True, password="secret")
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds


async def test_a_failing_homeserver_leaves_it_for_later(homeserver: Homeserver, name: str, tmp_path: Path) -> None:
    async with device(homeserver, name, tmp_path) as (account, _):

        async def fails(*_: Any, **__: Any) -> Answer:
            raise Temporary("the test says so")

        with pytest.raises(Temporary):
            await set_up(Account(fails, account.me, account.device, account.sign, account.folder, account.key))
        await set_up(account)
