"""The program as an admin types it, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

PATIENCE = 60.0
"""Seconds; a machine that does much else starts a process in ten."""


async def types(*words: str, given: Mapping[str, str] | None = None) -> str:
    """What a command of Python says (`-m bot login`, say), which must succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(given or {})},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@asynccontextmanager
async def running(folder: Path, *words: str, given: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """`breakout-bot run` with its log in `folder`, ready; it ends as by a power cut."""
    listening = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (folder / "log").open("ab") as log:
        manager.bind(str(listening))
        manager.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run", *words),
            stdout=log,
            stderr=log,
            env={**os.environ, **(given or {}), "NOTIFY_SOCKET": str(listening)},
        )
        try:
            async with asyncio.timeout(PATIENCE):
                while b"READY=1" not in await asyncio.get_running_loop().sock_recv(manager, 4096):
                    pass
            yield
        finally:
            process.kill()
            await process.wait()
            listening.unlink()
