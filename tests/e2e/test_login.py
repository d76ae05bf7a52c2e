"""`login` and `check` as an admin types them, on a real homeserver."""

from __future__ import annotations

import json
import re

import pytest

from bot.store.database import Database
from bot.testing.pytest_plugin import People
from bot.testing.raw import RawUser, open_session, path
from bot.testing.synapse import Homeserver
from tests.admin import Shell, shell

__all__ = ["shell"]

KNOWN = "apps know this device as the bot's own"


@pytest.fixture
async def admin(homeserver: Homeserver, people: People, shell: Shell) -> Shell:
    name = people.localpart("bot")
    await homeserver.register(name, "secret")
    shell.writes(homeserver.url, homeserver.user_id(name))
    return shell


async def sign_out(admin: Shell, homeserver: Homeserver) -> str:
    """Sign the bot's device out from outside; its id."""
    kept = json.loads((admin.data / "session.json").read_text())
    async with open_session() as session:
        bot = RawUser(session, homeserver.url, kept["user_id"], kept["access_token"])
        await bot.call("POST", path("logout"), {})
    return str(kept["device_id"])


def recovery_key(said: str) -> str:
    """The recovery key in what `login` says."""
    found = re.search(r"^    ((?:\w{4} ?)+)$", said, re.MULTILINE)
    assert found, said
    return found[1].strip()


async def test_the_first_login_sets_everything_up_and_shows_the_recovery_key_once(admin: Shell) -> None:
    said = await admin.types("login")
    key = recovery_key(said)
    assert "no limits" in said
    assert KNOWN in await admin.types("check")
    again = await admin.types("login")
    assert key not in again
    assert "shown before" in again
    assert recovery_key(await admin.types("login", "--new-recovery-key")) != key


async def test_check_tells_that_nobody_was_shown_the_recovery_key(admin: Shell) -> None:
    await admin.types("login")
    assert "recovery key" not in await admin.types("check")
    (admin.data / "crypto" / "recovery-key-shown").unlink()  # as when `run` made the identity by itself
    assert "nobody was shown the recovery key" in await admin.types("check", fails=True)
    recovery_key(await admin.types("login"))
    assert "recovery key" not in await admin.types("check")


async def test_a_lost_data_folder_needs_the_recovery_key(admin: Shell) -> None:
    key = recovery_key(await admin.types("login"))
    admin.data.rename(admin.settings.parent / "lost")
    assert "--recovery-key-file" in await admin.types("login", fails=True)
    said = await admin.types("check", fails=True)
    assert "✗ encrypted rooms: other people's apps do not trust the bot, since the device is not signed" in said
    assert f"run `breakout-bot login --config {admin.settings}`" in said
    file = admin.settings.parent / "key.txt"
    assert "cannot be read" in await admin.types("login", "--recovery-key-file", str(file), fails=True)
    file.write_text(f"{key[:-4]}\n")
    assert "not whole" in await admin.types("login", "--recovery-key-file", str(file), fails=True)
    file.write_text(f"{key}\n")
    assert "shown before" in await admin.types("login", "--recovery-key-file", str(file))
    assert KNOWN in await admin.types("check")


async def test_a_new_identity_is_made_only_on_purpose(admin: Shell) -> None:
    first = recovery_key(await admin.types("login"))
    second = recovery_key(await admin.types("login", "--new-identity"))
    assert second != first
    admin.data.rename(admin.settings.parent / "lost")
    assert recovery_key(await admin.types("login", "--new-identity")) not in (first, second)
    assert KNOWN in await admin.types("check")


async def test_a_bot_that_was_signed_out_is_logged_in_anew_with_its_identity(
    admin: Shell, homeserver: Homeserver
) -> None:
    key = recovery_key(await admin.types("login"))
    device = await sign_out(admin, homeserver)
    assert f"signed the bot's device {device} out" in await admin.types("check", fails=True)
    said = await admin.types("login")
    assert f"had signed the bot's device {device} out: this is a new login" in said
    assert key not in said
    assert "shown before" in said
    assert KNOWN in await admin.types("check")


async def test_a_recovery_key_that_is_not_needed_is_tried_all_the_same(admin: Shell) -> None:
    first = recovery_key(await admin.types("login"))
    second = recovery_key(await admin.types("login", "--new-recovery-key"))
    file = admin.settings.parent / "key.txt"
    file.write_text(first)
    said = await admin.types("login", "--recovery-key-file", str(file), fails=True)
    assert "The recovery key is not the one of this account" in said
    file.write_text(f"{second}\n")
    said = await admin.types("login", "--recovery-key-file", str(file))
    assert "The recovery key is the right one; it was not needed" in said
    said = await admin.types("login", "--recovery-key-file", str(file), "--new-identity", fails=True)
    assert "give one of the two" in said


async def test_a_new_identity_that_is_refused_leaves_nothing_behind(admin: Shell, homeserver: Homeserver) -> None:
    await admin.types("login")
    settings = admin.settings.read_text()
    before = {path.name for path in (admin.data / "crypto").iterdir()}
    for password in (None, "wrong"):
        admin.writes(
            homeserver.url, json.loads((admin.data / "session.json").read_text())["user_id"], password=password
        )
        assert "password" in await admin.types("login", "--new-identity", fails=True)
        assert {path.name for path in (admin.data / "crypto").iterdir()} == before
    admin.settings.write_text(settings)
    assert KNOWN in await admin.types("check")


async def test_check_tells_whether_the_bot_may_have_people_join(
    admin: Shell, homeserver: Homeserver, people: People
) -> None:
    me = homeserver.user_id(people.localpart("bot"))
    admin.writes(homeserver.url, me, breakout={"members": "force_join"})
    await admin.types("login")
    said = await admin.types("check", fails=True)
    assert "✗ plugins.breakout.members: force_join does nothing yet" in said
    assert f"{homeserver.url}/_synapse/admin/v1/users/{me}/admin" in said
    await homeserver.make_admin(me)
    assert "✓ the bot's account is an admin of the homeserver" in await admin.types("check")


async def test_check_makes_no_device_and_no_folder(admin: Shell) -> None:
    said = await admin.types("check", fails=True)
    assert f"✗ the bot has not logged in yet — run `breakout-bot login --config {admin.settings}`" in said
    assert not admin.data.exists()


async def test_check_looks_at_the_account_while_the_bot_runs(admin: Shell) -> None:
    await admin.types("login")
    database = await Database.open(admin.data)
    try:
        said = await admin.types("check")
    finally:
        await database.close()
    assert "✓ the bot is running" in said
    assert KNOWN in said


async def test_devices_of_lost_folders_are_named_and_removed_on_request(admin: Shell) -> None:
    key = recovery_key(await admin.types("login"))
    lost = json.loads((admin.data / "session.json").read_text())["device_id"]
    admin.data.rename(admin.settings.parent / "lost")
    file = admin.settings.parent / "key.txt"
    file.write_text(key)
    said = await admin.types("login", "--recovery-key-file", str(file))
    assert lost in said
    assert f"`breakout-bot login --config {admin.settings} --remove-old-devices`" in said
    assert "--remove-old-devices" in await admin.types("check")
    assert f"Removed: {lost}" in await admin.types("login", "--remove-old-devices")
    assert lost not in await admin.types("login")
    assert KNOWN in await admin.types("check")
