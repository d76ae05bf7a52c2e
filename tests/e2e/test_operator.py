"""What an operator sees of the program while a session runs in encrypted rooms, and what stays between the people."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bot.testing.encrypted import EncryptedUser
from bot.testing.pytest_plugin import People
from bot.testing.raw import open_session
from bot.testing.synapse import Homeserver

WORD = "Xylophon"


class Program:
    """The bot as systemd would run it, with its log, its address and what it tells."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.setblocking(False)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    async def told(self, line: str) -> None:
        """Wait until the service manager is told this."""
        async with asyncio.timeout(30):
            while line not in (await asyncio.get_running_loop().sock_recv(self.manager, 4096)).decode().split("\n"):
                pass

    async def get(self, path: str) -> tuple[int, str]:
        """What it answers."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return answer.status, await answer.text()


@asynccontextmanager
async def program(homeserver: Homeserver, user: str, folder: Path) -> AsyncIterator[Program]:
    """It runs, ready, at the chattiest level of its log, and is stopped as systemd stops it."""
    it = Program(folder)
    settings = {
        "homeserver": {"url": homeserver.url, "user_id": user, "password": "secret"},
        "store": {"path": str(folder / "data")},
        "logs": {"level": "DEBUG", "format": "json"},
        "metrics": {"listen": f"127.0.0.1:{it.port}"},
        "plugins": {"breakout": {"closing_notice": 1, "long_closing_notice": 1}},
    }
    (folder / "config.yaml").write_text(json.dumps(settings))
    notify = {"NOTIFY_SOCKET": it.manager.getsockname(), "WATCHDOG_USEC": "4000000"}
    with it.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run", "--config", str(folder / "config.yaml")),
            env={**os.environ, **notify},
            stdout=log,
            stderr=log,
        )
    try:
        await it.told("READY=1")
        yield it
        process.send_signal(signal.SIGTERM)
        await it.told("STOPPING=1")
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        it.manager.close()


async def test_the_operator_sees_how_it_goes_and_nothing_that_is_said(
    homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    name = people.localpart("breakout")
    await homeserver.register(name, "secret")
    bot = homeserver.user_id(name)
    async with open_session() as session, AsyncExitStack() as stack:

        async def come(who: str) -> EncryptedUser:
            login = await homeserver.account(people.localpart(who), "secret", f"{WORD} {who}")
            made = EncryptedUser(session, homeserver.url, login, tmp_path / who, name=f"{WORD} {who}")
            stack.push_async_callback(made.close)
            await made.published()
            return made

        mia, ann, bob = [await come(who) for who in ("Mia", "Ann", "Bob")]
        it = await stack.enter_async_context(program(homeserver, bot, tmp_path))
        await it.told("WATCHDOG=1")
        status, answer = await it.get("/health/ready")
        assert (status, json.loads(answer)["ready"]) == (200, True)

        main = await mia.create_room(f"{WORD} class", invite=(ann, bob), encrypted=True, powers={bot: 100})
        for guest in (ann, bob):
            await guest.join(main)
        await mia.invite(main, bot)
        await mia.message("setup 4", main)
        await mia.say(main, f"!breakout setup {WORD} one, {WORD} two")
        await mia.message("2 breakout rooms are planned", main)
        await mia.say(main, "!breakout start 20m")
        room = (await ann.invited(f" · {WORD} class")).room
        await ann.join(room)
        await ann.message("Welcome to", room)
        await ann.say(room, f"!help {WORD}")
        await ann.message("moderators are told", room)
        await mia.say(main, f"!breakout broadcast {WORD}")
        await ann.message(f"Mia: {WORD}", room)
        await mia.say(main, f"!breakout {WORD}")
        await mia.message("There is no command", main)

        _, numbers = await it.get("/metrics")
        assert 'breakout_sessions{phase="running"} 1.0' in numbers
        assert "breakout_help_unclaimed 1.0" in numbers
        assert 'breakout_bot_requests_total{endpoint="sendToDevice",outcome="ok"}' in numbers
        assert 'breakout_bot_errors_total{where="command"} 0.0' in numbers
        await mia.say(main, "!breakout end")
        await mia.message("everybody is back here", main)

    log = it.log.read_text("utf-8")
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    done = [line["command"] for line in lines if line["event"] == "command" and line["outcome"] == "done"]
    assert done == ["breakout setup", "breakout start", "help", "breakout broadcast", "breakout end"]
    for text in (log, numbers):
        assert WORD.lower() not in text.lower()
    assert not any(part in numbers for part in (main, room, ann.user_id, bot))
