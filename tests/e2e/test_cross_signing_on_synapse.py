"""The bot's identity at a real homeserver: made once, never replaced by itself, restored by the recovery key."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Temporary
from bot.matrix.crypto.cross_signing import (
    DEFAULT_KEY,
    Account,
    as_others_see_it,
    has_recovery,
    new_recovery,
    note_recovery,
    set_up,
)
from bot.matrix.crypto.identity import Identity, IdentityError, KeyStore
from bot.matrix.crypto.machine import Machine
from bot.matrix.crypto.secret_storage import SecretError, encrypt, new_key, read, to_base64, written
from bot.matrix.http import Answer, ask, open_client, path
from bot.matrix.ids import UserId
from bot.matrix.logins import login_password
from bot.matrix.proof import ProofError
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
            yield Account(wire, user, device_id, machine.ed25519, machine.sign, KeyStore(folder, "key")), wire
        finally:
            machine.close()


async def log_in(account: Account, **how: Any) -> str | None:
    """What `login` does: the recovery key that it shows."""
    await set_up(account, **how)
    if await has_recovery(account.ask, account.me, account.keys):
        return None
    shown = await new_recovery(account)
    note_recovery(account)
    return shown


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
        first, wire.writes = Identity.kept(account.keys.identity, account.keys.file_key), []
        await set_up(account)
        assert wire.writes == []
        assert Identity.kept(account.keys.identity, account.keys.file_key) == first


@pytest.mark.parametrize("acts_last", [False, True])
@pytest.mark.parametrize("anew", [False, True])
async def test_a_kill_at_any_request_is_made_up_for(
    homeserver: Homeserver, people: People, tmp_path: Path, anew: bool, acts_last: bool
) -> None:
    for requests in itertools.count():
        name, killed = people.localpart(f"killed after {requests}"), False
        await homeserver.register(name, "secret")
        async with device(homeserver, name, tmp_path / f"{requests}") as (account, wire):
            shown = [await log_in(account)] if anew else []
            wire.left, wire.acts_last = requests, acts_last
            try:
                shown.append(await log_in(account, anew=anew, password="secret"))
            except Killed:
                killed, wire.left = True, None
                files = (account.keys.pending, account.keys.identity)
                once = next(filter(None, (Identity.kept(file, account.keys.file_key) for file in files)), None)
                shown.append(await log_in(account))
                if once and not anew:
                    assert Identity.kept(account.keys.identity, account.keys.file_key) == once
            wire.left = None
            assert (await as_others_see_it(account.ask, account.me, account.device)).holds
            assert await log_in(account) is None
            kept = Identity.kept(account.keys.identity, account.keys.file_key)
        async with device(homeserver, name, tmp_path / f"{requests}, lost") as (account, _):
            await set_up(account, recovery_key=[key for key in shown if key][-1])
            assert Identity.kept(account.keys.identity, account.keys.file_key) == kept
            assert await log_in(account) is None
        if not killed:
            assert requests >= 9  # it asks that often
            break


async def test_a_lost_store_is_restored_with_the_recovery_key(
    homeserver: Homeserver, name: str, tmp_path: Path
) -> None:
    async with device(homeserver, name, tmp_path / "old") as (account, _):
        await set_up(account)
        assert not await has_recovery(account.ask, account.me, account.keys)
        recovery_key = await new_recovery(account)
        assert not await has_recovery(account.ask, account.me, account.keys)  # nobody has seen it yet
        note_recovery(account)
        assert await has_recovery(account.ask, account.me, account.keys)
        old = Identity.kept(account.keys.identity, account.keys.file_key)
    async with device(homeserver, name, tmp_path / "new") as (account, wire):
        for wrong, error in ((None, IdentityError), ("EsTc", SecretError), (written(new_key()), SecretError)):
            with pytest.raises(error):
                await set_up(account, recovery_key=wrong)
        assert wire.writes == []
        assert not account.keys.identity.exists()
        await set_up(account, recovery_key=recovery_key)
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds
        assert Identity.kept(account.keys.identity, account.keys.file_key) == old


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
        kept = Identity.kept(account.keys.identity, account.keys.file_key)
        with pytest.raises(ProofError, match="password"):
            await set_up(account, anew=True)
        assert Identity.kept(account.keys.identity, account.keys.file_key) == kept
        await set_up(account)
    async with device(homeserver, name, tmp_path / "two") as (account, wire):
        Identity.new().keep(account.keys.identity, account.keys.file_key)
        with pytest.raises(IdentityError, match="another one"):
            await set_up(account)
        assert wire.writes == []
        with pytest.raises(ProofError, match="password"):
            await set_up(account, anew=True)
        with pytest.raises(ProofError, match="password"):
            await set_up(account, anew=True, password="wrong")
        await set_up(account, anew=True, password="secret")
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds


async def test_a_failing_homeserver_leaves_it_for_later(homeserver: Homeserver, name: str, tmp_path: Path) -> None:
    async with device(homeserver, name, tmp_path) as (account, _):

        async def fails(*_: Any, **__: Any) -> Answer:
            raise Temporary("the test says so")

        with pytest.raises(Temporary):
            await set_up(replace(account, ask=fails))
        await set_up(account)


async def test_a_new_identity_has_a_recovery_key_of_its_own(homeserver: Homeserver, name: str, tmp_path: Path) -> None:
    async with device(homeserver, name, tmp_path) as (account, _):
        first = await log_in(account)
        assert await log_in(account) is None
        second = await log_in(account, anew=True, password="secret")
        assert second not in (None, first)


async def test_a_homeserver_that_has_lost_the_identity_gets_the_same_again(
    homeserver: Homeserver, name: str, tmp_path: Path
) -> None:
    async with device(homeserver, name, tmp_path) as (account, _):
        kept = Identity.new()
        kept.keep(account.keys.identity, account.keys.file_key)
        await set_up(account)
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds
        assert Identity.kept(account.keys.identity, account.keys.file_key) == kept


async def test_a_damaged_file_is_replaced_on_purpose_only(homeserver: Homeserver, name: str, tmp_path: Path) -> None:
    async with device(homeserver, name, tmp_path) as (account, wire):
        await set_up(account)
        account.keys.identity.write_text("damaged")
        wire.writes = []
        with pytest.raises(IdentityError, match="cannot be read"):
            await set_up(account)
        assert wire.writes == []
        await set_up(account, anew=True, password="secret")
        assert (await as_others_see_it(account.ask, account.me, account.device)).holds


def sealed(seed: bytes) -> Any:
    """How secret storage has a seed."""
    return lambda default, key: {"encrypted": {default: encrypt(key, "m.cross_signing.self_signing", to_base64(seed))}}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda default, key: {}, "damaged"),
        (lambda default, key: {"encrypted": []}, "damaged"),
        (lambda default, key: {"encrypted": {default: {"iv": "", "ciphertext": "", "mac": ""}}}, "damaged"),
        (sealed(b"short"), "damaged"),
        (sealed(b"another one, but of 32 bytes too"), "no longer has"),
    ],
)
async def test_damaged_secrets_are_told_and_not_kept(
    homeserver: Homeserver, name: str, tmp_path: Path, damage: Any, said: str
) -> None:
    async with device(homeserver, name, tmp_path / "old") as (account, _):
        recovery_key = await log_in(account)
    assert recovery_key
    async with device(homeserver, name, tmp_path / "new") as (account, wire):
        secrets = path("user", account.me, "account_data")
        default = (await account.ask("GET", f"{secrets}/{DEFAULT_KEY}")).json["key"]
        content = damage(default, read(recovery_key))
        await account.ask("PUT", f"{secrets}/m.cross_signing.self_signing", content)
        wire.writes = []
        with pytest.raises((IdentityError, SecretError), match=said):
            await set_up(account, recovery_key=recovery_key)
        assert wire.writes == []
        assert not account.keys.identity.exists()


async def test_a_recovery_key_opens_nothing_where_there_is_nothing(
    homeserver: Homeserver, name: str, tmp_path: Path
) -> None:
    async with device(homeserver, name, tmp_path / "old") as (account, _):
        await set_up(account)
    async with device(homeserver, name, tmp_path / "new") as (account, _):
        with pytest.raises(SecretError, match="has nothing"):
            await set_up(account, recovery_key=written(new_key()))


@pytest.mark.parametrize("kind", ["curve25519", "ed25519"])
async def test_only_our_own_keys_are_signed(homeserver: Homeserver, name: str, tmp_path: Path, kind: str) -> None:
    async with device(homeserver, name, tmp_path) as (account, wire):

        async def lies(method: str, where: str, *more: Any, **named: Any) -> Answer:
            answer = await wire(method, where, *more, **named)
            if where == path("keys", "query"):
                keys = answer.json["device_keys"][account.me][account.device]["keys"]
                keys[f"{kind}:{account.device}"] = Identity.new().public("master")
            return answer

        with pytest.raises(IdentityError, match="other keys"):
            await set_up(replace(account, ask=lies))
        assert "keys/signatures/upload" not in wire.writes


@pytest.mark.parametrize("answer", [{}, {"master_keys": [], "device_keys": {"@ann:example.org": 1}}])
async def test_a_broken_answer_shows_no_chain(answer: Any) -> None:
    async def broken(*_: Any, **__: Any) -> Answer:
        return Answer(answer)

    assert not (await as_others_see_it(broken, UserId("@ann:example.org"), "DEVICE")).holds
