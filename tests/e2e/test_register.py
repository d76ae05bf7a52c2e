"""`register` as an admin types it, on a real Synapse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.config import read_config
from bot.credentials import credentials, key_store, service_of
from bot.matrix.client import NioHomeserver
from bot.matrix.ports import Blueprint
from bot.store.database import Database
from bot.testing.pytest_plugin import People
from bot.testing.raw import RawUser, open_session
from bot.testing.synapse import Homeserver
from tests.admin import Shell, shell
from tests.e2e.program import running
from tests.e2e.test_login import KNOWN, recovery_key
from tests.e2e.test_session_on_synapse import is_played_encrypted, with_devices

__all__ = ["shell"]


@pytest.fixture
def secret(homeserver: Homeserver, tmp_path: Path) -> Path:
    """The file with the homeserver's shared secret, as editors leave it."""
    file = tmp_path / "secret"
    file.write_text(f"{homeserver.registration_secret}\n")
    return file


@pytest.fixture
async def token(homeserver: Homeserver, people: People, tmp_path: Path) -> Path:
    """The file with an admin's access token."""
    file = tmp_path / "token"
    file.write_text(await homeserver.register(people.localpart("admin"), "secret", admin=True) + "\n")
    return file


@pytest.fixture
def admin(homeserver: Homeserver, people: People, shell: Shell) -> Shell:
    """Somebody who has settings without a password, and no account for the bot."""
    shell.writes(homeserver.url, homeserver.user_id(people.localpart("bot")), password=None)
    return shell


async def profile(admin: Shell, homeserver: Homeserver) -> dict[str, str]:
    kept = json.loads((admin.data / "session.json").read_text())
    async with open_session() as session:
        bot = RawUser(session, homeserver.url, kept["user_id"], kept["access_token"])
        found: dict[str, str] = await bot.call("GET", f"/_matrix/client/v3/profile/{kept['user_id']}")
    return found


async def test_the_shared_secret_makes_an_account_that_is_logged_in(
    admin: Shell, homeserver: Homeserver, secret: Path
) -> None:
    said = await admin.types("register", "--shared-secret-file", str(secret))
    assert "Made the account @bot_" in said
    recovery_key(said)
    assert "no limits" in said
    assert "override_ratelimit" not in said
    assert not (admin.data / "registration.pending.json").exists()
    found = await profile(admin, homeserver)
    assert found["displayname"] == "Breakout rooms"
    assert found["avatar_url"].startswith("mxc://")
    said = await admin.types("check")
    assert KNOWN in said
    again = await admin.types("register", "--shared-secret-file", str(secret))
    assert "exists, and the bot is logged in" in again
    assert "Made" not in again
    assert "Set its" not in again
    assert await profile(admin, homeserver) == found


async def test_a_homeserver_that_makes_us_wait_is_waited_for(
    stock_homeserver: Homeserver, people: People, shell: Shell, tmp_path: Path
) -> None:
    shell.writes(stock_homeserver.url, stock_homeserver.user_id(people.localpart("bot")), password=None)
    file = tmp_path / "secret"
    file.write_text(stock_homeserver.registration_secret)
    said = await shell.types("register", "--shared-secret-file", str(file))
    assert "12 requests a minute" in said
    assert said.count("override_ratelimit") == 1
    assert "avatar_url" in await profile(shell, stock_homeserver)
    said = await shell.types("check", fails=True)
    assert "✗ large sessions take minutes to start" in said
    assert f"`breakout-bot register --config {shell.settings} --admin-token-file FILE`" in said


async def test_an_admins_token_makes_the_account_and_lifts_its_limits(admin: Shell, token: Path) -> None:
    said = await admin.types("register", "--admin-token-file", str(token), "--display-name", "Groups")
    assert "Made the account" in said
    assert "Lifted the homeserver's limits" in said
    assert "Its password" not in said
    said = await admin.types("check", "--admin-token-file", str(token))
    assert "an admin has lifted the homeserver's limits" in said
    again = await admin.types("register", "--admin-token-file", str(token))
    assert "Lifted" not in again


async def test_limits_are_lifted_while_the_bot_runs(admin: Shell, secret: Path, token: Path) -> None:
    await admin.types("register", "--shared-secret-file", str(secret))
    running = await Database.open(admin.data)
    try:
        said = await admin.types("register", "--admin-token-file", str(token))
        assert "Lifted the homeserver's limits for the bot." in said
        assert "within ten minutes" in said
        said = await admin.types("register", "--admin-token-file", str(token))
        assert "No limits of the homeserver hold for the bot." in said
        refused = await admin.types("register", "--admin-token-file", str(token), "--new-password", fails=True)
        assert "Stop it first" in refused
        assert "Stop it first" in await admin.types("register", "--shared-secret-file", str(secret), fails=True)
    finally:
        await running.close()
    assert "an admin has lifted" in await admin.types("check", "--admin-token-file", str(token))


async def test_secrets_come_from_the_environment_too(
    admin: Shell, homeserver: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKOUT_BOT_SHARED_SECRET", homeserver.registration_secret)
    said = await admin.types("register", "--show-password")
    assert "Its password, shown this once: " in said


async def test_nothing_to_make_the_account_with(admin: Shell) -> None:
    assert "give --shared-secret-file" in await admin.types("register", fails=True)


async def test_a_wrong_secret_and_a_token_of_nobodys_are_told(
    admin: Shell, homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    file = tmp_path / "wrong"
    file.write_text("wrong")
    said = await admin.types("register", "--shared-secret-file", str(file), fails=True)
    assert "The shared secret is not the homeserver's" in said
    said = await admin.types("register", "--admin-token-file", str(file), fails=True)
    assert "does not accept the admin's access token" in said
    file.write_text(await homeserver.register(people.localpart("ann"), "secret"))
    said = await admin.types("register", "--admin-token-file", str(file), fails=True)
    assert "not an admin's" in said


async def test_an_account_that_exists_without_its_password(
    admin: Shell, homeserver: Homeserver, people: People, secret: Path, token: Path
) -> None:
    await homeserver.register(people.localpart("bot"), "forgotten")
    said = await admin.types("register", "--shared-secret-file", str(secret), fails=True)
    assert "exists, and its password is not in the settings" in said
    assert not (admin.data / "registration.pending.json").exists()
    said = await admin.types("register", "--admin-token-file", str(token), "--new-password")
    recovery_key(said)
    assert KNOWN in await admin.types("check")


async def test_an_account_whose_making_was_cut_short_is_taken_up_again(
    admin: Shell, homeserver: Homeserver, people: People, secret: Path
) -> None:
    await homeserver.register(people.localpart("bot"), "random")
    admin.data.mkdir()
    under_way = {"user_id": homeserver.user_id(people.localpart("bot")), "password": "random"}
    (admin.data / "registration.pending.json").write_text(json.dumps(under_way))
    recovery_key(await admin.types("register", "--shared-secret-file", str(secret)))
    assert not (admin.data / "registration.pending.json").exists()


async def test_a_user_id_of_another_server_is_told_with_the_right_one(
    admin: Shell, homeserver: Homeserver, people: People, secret: Path
) -> None:
    admin.writes(homeserver.url, f"@{people.localpart('bot')}:hs.example", password=None)
    said = await admin.types("register", "--shared-secret-file", str(secret), fails=True)
    right = homeserver.user_id(people.localpart("bot"))
    assert f'`user_id: "{right}"`' in said
    assert "made" not in said
    admin.writes(homeserver.url, right, password=None)
    recovery_key(await admin.types("register", "--shared-secret-file", str(secret)))


async def test_an_application_service_has_no_limits_and_knows_its_messages_again(shell: Shell, tmp_path: Path) -> None:
    registration = tmp_path / "service.yaml"
    settings: dict[str, list[str]] = {"app_service_config_files": ["service.yaml"]}
    async with Homeserver(limits="stock", settings=settings) as server:
        shell.writes(server.url, server.user_id("bot"), password=None)
        said = await shell.types("register", "--appservice", str(registration))
        assert f"app_service_config_files: [{registration}]" in said
        text = registration.read_text()
        assert "Kept" in await shell.types("register", "--appservice", str(registration))
        assert registration.read_text() == text
        token = str(shell.data / "appservice-token")
        shell.writes(server.url, server.user_id("bot"), password=None, appservice_token_file=token)
        said = await shell.types("register", fails=True)
        assert "names the registration file in app_service_config_files" in said
        settings["app_service_config_files"].append(str(registration))
        await server.restart()
        said = await shell.types("register")
        assert "Made the account @bot:localhost" in said
        assert "no limits" in said
        recovery_key(said)
        said = await shell.types("check")
        assert KNOWN in said
        assert "no limits hold" in said
        config = read_config(shell.settings)
        login = await credentials(config.homeserver, config.store.path)
        where = (server.url, login.user_id, login.device_id, login.access_token)
        async with NioHomeserver.connect(*where, SystemClock(), key_store(config.store.path)) as account:
            account.requests.service = service_of(config.homeserver, login)
            room = await account.create(Blueprint("Hall", "", {"users": {}}), "key")
            since = (await account.sync(None, 0)).token
            texts = [{"msgtype": "m.text", "body": f"{n}"} for n in range(30)]
            sent = [await account.send(room, "m.room.message", text, f"txn{n}") for n, text in enumerate(texts)]
            assert await account.send(room, "m.room.message", texts[0], "txn0") == sent[0]
            batch = await account.sync(since, 10)
        echoes = {e["event_id"]: e["unsigned"]["transaction_id"] for e in batch.joined[room].timeline}
        assert echoes == {event: f"txn{n}" for n, event in enumerate(sent)}


@pytest.mark.slow
async def test_an_application_service_leads_an_encrypted_session(shell: Shell, tmp_path: Path) -> None:
    registration = tmp_path / "service.yaml"
    shell.writes("http://127.0.0.1:1", "@breakout:localhost", password=None)
    await shell.types("register", "--appservice", str(registration))
    async with Homeserver(
        limits="stock", settings={"app_service_config_files": ["service.yaml", str(registration)]}
    ) as server:
        token, quick = str(shell.data / "appservice-token"), {"closing_notice": 1, "long_closing_notice": 1}
        shell.writes(server.url, "@breakout:localhost", password=None, appservice_token_file=token, breakout=quick)
        recovery_key(await shell.types("register"))
        async with (
            running(tmp_path, "--config", str(shell.settings)),
            with_devices(server, tmp_path, "mia", "ann", "bob") as persons,
        ):
            await is_played_encrypted("@breakout:localhost", *persons)
            assert KNOWN in await shell.types("check")


async def test_a_file_that_is_no_registration_is_not_replaced(shell: Shell, tmp_path: Path) -> None:
    shell.writes("http://127.0.0.1:1")
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: hs.example\n")
    assert "name a file that is not there yet" in await shell.types("register", "--appservice", str(file), fails=True)
    assert file.read_text() == "server_name: hs.example\n"
