"""What systemd hears of the bot, on a socket as it listens on."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.systemd import Supervisor


class Systemd:
    """The other end."""

    def __init__(self, name: str) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(name)
        self.line.settimeout(0)

    def heard(self) -> list[str]:
        """What came since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.line.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    end = Systemd(str(tmp_path / "notify"))
    yield end
    end.line.close()


def test_it_hears_when_the_bot_is_up_and_what_it_is_about(systemd: Systemd, tmp_path: Path) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    supervisor.is_at("Waiting")
    supervisor.is_up("Logged in")
    supervisor.is_stopping()
    assert systemd.heard() == ["STATUS=Waiting", "READY=1\nSTATUS=Logged in", "STOPPING=1\nSTATUS=Stopping"]


def test_its_socket_may_be_one_without_a_file() -> None:
    name = f"breakout-bot-test-{os.getpid()}"
    end = Systemd(f"\0{name}")
    Supervisor({"NOTIFY_SOCKET": f"@{name}"}).is_at("Waiting")
    assert end.heard() == ["STATUS=Waiting"]
    end.line.close()


async def test_it_hears_twice_a_span_that_work_goes_on(systemd: Systemd, tmp_path: Path) -> None:
    slept: list[float] = []
    third = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            third.set()
            await asyncio.Event().wait()

    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
    supervisor = Supervisor(environment)
    supervisor.is_up("Ready")
    async with supervisor.watching(lambda: "Ready", sleep):
        await third.wait()
    assert slept == [30, 30, 30]
    assert [word for word in systemd.heard() if word == "WATCHDOG=1"] == ["WATCHDOG=1"] * 3


async def test_a_start_that_is_under_way_asks_for_more_time_and_then_tells_what_changes(
    systemd: Systemd, tmp_path: Path
) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    heard: list[list[str]] = []
    statuses = iter(["Ready", "Ready", "Not ready: no sync for 130 s"])
    through = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        heard.append(systemd.heard())
        if len(heard) == 2:
            supervisor.is_up("Ready")
            systemd.heard()
        if len(heard) == 5:
            through.set()
            await asyncio.Event().wait()

    async with supervisor.watching(lambda: next(statuses), sleep):
        await through.wait()
    patience = ["EXTEND_TIMEOUT_USEC=30000000"]
    assert heard == [patience, patience, ["STATUS=Ready"], [], ["STATUS=Not ready: no sync for 130 s"]]


async def test_of_a_watchdog_for_another_process_nothing_is_said(systemd: Systemd, tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}
    async with Supervisor(environment).watching(lambda: "Ready"):
        await asyncio.sleep(0)
    assert "WATCHDOG=1" not in systemd.heard()


def test_where_nobody_listens_the_bot_goes_on(tmp_path: Path) -> None:
    Supervisor({}).is_up("Logged in")
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).is_up("Logged in")
