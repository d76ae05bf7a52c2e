"""How the program begins: it waits for a homeserver that is not there yet, and takes its time beside the work."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.config import Config
from bot.credentials import Credentials, key_store
from bot.errors import ConfigError
from bot.health import Health
from bot.matrix.client import NioHomeserver
from bot.run import get_to_know, logged_in
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


class Account:
    """Whose limits and identity are known at once."""

    async def recall_limits(self) -> None: ...

    async def signer(self, _keys: object) -> None: ...


async def test_rooms_are_checked_when_the_bot_has_read_them_and_not_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready, signed = asyncio.Event(), asyncio.Event()
    checked: list[bool] = []

    async def sign(*_: object, **__: object) -> None:
        signed.set()

    async def check(*_: object) -> None:
        checked.append(ready.is_set())

    monkeypatch.setattr("bot.run.set_up", sign)
    monkeypatch.setattr("bot.run.log_faults", check)
    config = Config.model_validate({"homeserver": {"url": "http://hs", "user_id": ME, "password": "secret"}})
    account = cast("NioHomeserver", Account())
    work = asyncio.create_task(get_to_know(account, key_store(tmp_path), config, Health(FakeClock()), ready))
    await signed.wait()
    ready.set()
    await work
    assert checked == [True]
