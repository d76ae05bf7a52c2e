"""docs/backup.md as an admin does it, on a real Synapse: a backup during an encrypted session, and a lost machine."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml

from bot.testing.encrypted import EncryptedUser
from bot.testing.pytest_plugin import People
from bot.testing.raw import open_session
from bot.testing.synapse import Homeserver
from tests.e2e.program import PATIENCE, running, types


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_session_goes_on_after_the_machine_was_lost(
    homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    name = people.localpart("breakout")
    await homeserver.register(name, "secret")
    bot, data = homeserver.user_id(name), tmp_path / "data"
    settings, key, copy = tmp_path / "config.yaml", tmp_path / "recovery-key", tmp_path / "breakout.db"
    account = {"url": homeserver.url, "user_id": bot, "password": "secret"}
    settings.write_text(yaml.safe_dump({"homeserver": account, "store": {"path": str(data)}}))
    config = ("--config", str(settings))
    shown = re.search(r"^    ((?:\w{4} ?)+)$", await types("-m", "bot", "login", *config), re.MULTILINE)
    assert shown
    key.write_text(shown[1])
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())

        async def come(person: str) -> EncryptedUser:
            login = await homeserver.account(people.localpart(person), "secret")
            user = EncryptedUser(session, homeserver.url, login, tmp_path / person, name=person)
            stack.push_async_callback(user.close)
            await user.published()
            return user

        mia, ann = await come("Mia"), await come("Ann")
        async with running(tmp_path, *config):
            main = await mia.create_room("Class 7b", powers={bot: 100}, version="11", encrypted=True)
            await mia.invite(main, ann.user_id)
            await ann.join(main)
            await mia.invite(main, bot)
            await mia.message("setup 4", main, PATIENCE)
            await mia.say(main, "!breakout setup 1")
            await mia.message("1 breakout room is planned", main, PATIENCE)
            await mia.say(main, "!breakout start 20m")
            room = (await ann.invited(" · Class 7b", PATIENCE)).room
            await ann.join(room)
            await ann.message("Welcome to", room, PATIENCE)
            await types("-m", "bot", "backup", str(copy), *config)
        data.rename(tmp_path / "lost")
        data.mkdir(mode=0o700)
        copy.rename(data / "bot.db")
        await types("-m", "bot", "login", "--recovery-key-file", str(key), *config)
        async with running(tmp_path, *config):
            await mia.message("I have lost my notes", main, PATIENCE)
            await mia.say(main, "!breakout broadcast Once more")
            await ann.message("Once more", room, PATIENCE)
            await mia.say(main, "!breakout end now")
            await ann.message("This room is closed", room, PATIENCE)
        assert "✗" not in await types("-m", "bot", "check", *config)
