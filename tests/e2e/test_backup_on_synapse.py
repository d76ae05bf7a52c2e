"""docs/backup.md as an admin does it, on a real Synapse: a backup during an encrypted session, and a lost machine."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from bot.testing.encrypted import EncryptedUser
from bot.testing.pytest_plugin import People
from bot.testing.raw import open_session
from bot.testing.synapse import Homeserver

LOST = "I have lost my notes"


class Machine:
    """A settings file, a data folder, and the program."""

    def __init__(self, folder: Path, url: str, user: str) -> None:
        self.folder, self.data = folder, folder / "data"
        self._settings = folder / "config.yaml"
        homeserver = {"url": url, "user_id": user, "password": "secret"}
        self._settings.write_text(yaml.safe_dump({"homeserver": homeserver, "store": {"path": str(self.data)}}))

    async def types(self, command: str, *more: str) -> str:
        """What `breakout-bot command` says; it must succeed."""
        process = await self._started(command, *more)
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return said.decode()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The bot, which ends as by a power cut."""
        process = await self._started("run")
        try:
            yield
        finally:
            process.kill()
            await process.wait()

    async def _started(self, command: str, *more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", command, *more, "--config", str(self._settings)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


@pytest.mark.slow
async def test_a_session_goes_on_after_the_machine_was_lost(
    homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    name = people.localpart("breakout")
    await homeserver.register(name, "secret")
    bot = homeserver.user_id(name)
    machine, key, copy = Machine(tmp_path, homeserver.url, bot), tmp_path / "recovery-key", tmp_path / "breakout.db"
    shown = re.search(r"^    ((?:\w{4} ?)+)$", await machine.types("login"), re.MULTILINE)
    assert shown
    key.write_text(shown[1])
    async with open_session() as session:
        mia, ann = [
            EncryptedUser(
                session,
                homeserver.url,
                await homeserver.account(people.localpart(person), "secret", "phone"),
                tmp_path / person,
                name=person,
            )
            for person in ("Mia", "Ann")
        ]
        await mia.published()
        await ann.published()
        async with machine.running():
            main = await mia.create_room("Class 7b", powers={bot: 100}, version="11", encrypted=True)
            await mia.invite(main, ann.user_id)
            await ann.join(main)
            await mia.invite(main, bot)
            await mia.message("setup 4", main)
            await mia.say(main, "!breakout setup 1")
            await mia.message("1 breakout room is planned", main)
            await mia.say(main, "!breakout start 20m")
            room = (await ann.invited(" · Class 7b")).room
            await ann.join(room)
            await ann.message("Welcome to", room)
            await machine.types("backup", str(copy))
        machine.data.rename(tmp_path / "lost")
        machine.data.mkdir(mode=0o700)
        copy.rename(machine.data / "bot.db")
        await machine.types("login", "--recovery-key-file", str(key))
        async with machine.running():
            await mia.message(LOST, main)
            await mia.say(main, "!breakout broadcast Once more")
            await ann.message("Once more", room)
            await mia.say(main, "!breakout end now")
            await ann.message("This room is closed", room)
        assert "✗" not in await machine.types("check")
        await mia.close()
        await ann.close()
