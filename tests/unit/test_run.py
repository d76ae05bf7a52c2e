"""The program waits for a homeserver that is not there yet, as it does for one that goes away."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.config import Config
from bot.credentials import Credentials
from bot.errors import ConfigError
from bot.run import logged_in
from bot.testing.clock import FakeClock

ME = "@bot:hs"
LOGIN = {"user_id": ME, "device_id": "D", "access_token": "t"}


class Impatient(FakeClock):
    """Whoever sleeps on it wakes at once; `slept` are the seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep_until(self, moment: datetime) -> None:
        self.slept.append((moment - self.now()).total_seconds())
        self.advance(timedelta(seconds=self.slept[-1]))


async def logging_in(answers: list[web.Response], folder: Path, clock: Impatient) -> Credentials:
    async def answer(request: web.Request) -> web.Response:
        return answers.pop(0)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        homeserver = {"url": url, "user_id": ME, "password": "secret"}
        config = Config.model_validate({"homeserver": homeserver, "store": {"path": str(folder)}})
        async with asyncio.timeout(5):
            return await logged_in(config, clock)
    finally:
        await runner.cleanup()


async def test_the_first_login_is_tried_until_the_homeserver_answers(tmp_path: Path) -> None:
    clock = Impatient()
    answers = [
        web.Response(status=502, text="<html>"),
        web.Response(status=429, headers={"Retry-After": "300"}),
        web.Response(status=403, text="<html>"),
        web.json_response(LOGIN),
    ]
    with capture_logs() as logged:
        assert await logging_in(answers, tmp_path, clock) == Credentials(ME, "D", "t")
    assert clock.slept == [5, 300, 20]
    assert "no Matrix homeserver, or a broken one: HTTP 502" in logged[0]["why"]
    assert "try again in 300 seconds" in logged[1]["why"]
    assert "does not let a request through (HTTP 403)" in logged[2]["why"]


async def test_a_refused_login_ends_the_program(tmp_path: Path) -> None:
    refused = web.json_response({"errcode": "M_FORBIDDEN", "error": "Invalid password"}, status=403)
    with pytest.raises(ConfigError, match="Invalid password"):
        await logging_in([refused], tmp_path, Impatient())
