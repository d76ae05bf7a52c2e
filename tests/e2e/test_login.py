"""`login` and `check` as an admin types them, on a real homeserver."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
import yaml

from bot.testing.pytest_plugin import People
from bot.testing.synapse import Homeserver

KNOWN = "apps know this device as the bot's own"


class Admin:
    """Somebody with a settings file, at a shell."""

    def __init__(self, folder: Path, url: str, user: str) -> None:
        self.folder, self.settings = folder, folder / "config.yaml"
        self.data = folder / "data"
        homeserver = {"url": url, "user_id": user, "password": "secret"}
        self.settings.write_text(yaml.safe_dump({"homeserver": homeserver, "store": {"path": str(self.data)}}))

    async def types(self, command: str, *more: str, fails: bool = False) -> str:
        """What `breakout-bot command` says."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", command, "--config", str(self.settings), *more),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert (process.returncode != 0) is fails, said.decode()
        return said.decode()


@pytest.fixture
async def admin(homeserver: Homeserver, people: People, tmp_path: Path) -> Admin:
    name = people.localpart("bot")
    await homeserver.register(name, "secret")
    return Admin(tmp_path, homeserver.url, homeserver.user_id(name))


def recovery_key(said: str) -> str:
    """The recovery key in what `login` says."""
    found = re.search(r"^    ((?:\w{4} ?)+)$", said, re.MULTILINE)
    assert found, said
    return found[1].strip()


async def test_the_first_login_sets_everything_up_and_shows_the_recovery_key_once(admin: Admin) -> None:
    said = await admin.types("login")
    key = recovery_key(said)
    assert "no limits" in said
    assert KNOWN in await admin.types("check")
    again = await admin.types("login")
    assert key not in again
    assert "shown before" in again
    assert recovery_key(await admin.types("login", "--new-recovery-key")) != key


async def test_check_tells_that_nobody_was_shown_the_recovery_key(admin: Admin) -> None:
    await admin.types("login")
    assert "recovery key" not in await admin.types("check")
    (admin.data / "crypto" / "recovery-key-shown").unlink()  # as when `run` made the identity by itself
    assert "nobody was shown the recovery key" in await admin.types("check", fails=True)
    recovery_key(await admin.types("login"))
    assert "recovery key" not in await admin.types("check")


async def test_a_lost_data_folder_needs_the_recovery_key(admin: Admin) -> None:
    key = recovery_key(await admin.types("login"))
    admin.data.rename(admin.folder / "lost")
    assert "--recovery-key-file" in await admin.types("login", fails=True)
    assert "run `breakout-bot login`" in await admin.types("check", fails=True)
    file = admin.folder / "key.txt"
    assert "cannot be read" in await admin.types("login", "--recovery-key-file", str(file), fails=True)
    file.write_text(f"{key[:-4]}\n")
    assert "not whole" in await admin.types("login", "--recovery-key-file", str(file), fails=True)
    file.write_text(f"{key}\n")
    assert "shown before" in await admin.types("login", "--recovery-key-file", str(file))
    assert KNOWN in await admin.types("check")


async def test_a_new_identity_is_made_only_on_purpose(admin: Admin) -> None:
    first = recovery_key(await admin.types("login"))
    second = recovery_key(await admin.types("login", "--new-identity"))
    assert second != first
    admin.data.rename(admin.folder / "lost")
    assert recovery_key(await admin.types("login", "--new-identity")) not in (first, second)
    assert KNOWN in await admin.types("check")
