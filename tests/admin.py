"""Somebody with a settings file at a shell, and homeservers that answer what a test says."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.cli import main

ME = "@bot:hs.example"
V3 = "/_matrix/client/v3/"
VERSIONS = "/_matrix/client/versions"


class Shell:
    """Types commands, in this process where that can be."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.settings, self.data = folder / "config.yaml", folder / "data"
        self._capture = capture
        self.ended: object = None
        """The exit code of what was typed last."""

    def writes(
        self, url: str, user: str = ME, *, breakout: Mapping[str, object] | None = None, **homeserver: Any
    ) -> None:
        """The settings: those of `homeserver` and `breakout` besides, and a password unless it says otherwise."""
        given = {"url": url, "user_id": user, "password": "secret", **homeserver}
        given = {name: value for name, value in given.items() if value is not None}
        plugins = {"breakout": dict(breakout or {})}
        settings = {"homeserver": given, "store": {"path": str(self.data)}, "plugins": plugins}
        self.settings.write_text(yaml.safe_dump(settings))

    async def types(self, command: str, *more: str, fails: bool = False) -> str:
        """What the command says, on both streams; whose exit code tells of a failure or does not."""
        args = [command, "--config", str(self.settings), *more]
        ended, said = await (self._apart(args) if command == "run" else self._here(args))
        self.ended = ended
        assert (ended != 0) is fails, said
        return said

    async def _here(self, args: list[str]) -> tuple[object, str]:
        def run() -> object:
            with pytest.raises(SystemExit) as ended:
                main(args)
            return ended.value.code

        self._capture.readouterr()
        code = await asyncio.to_thread(run)
        return code, "".join(self._capture.readouterr())

    async def types_on_a_full_disk(self, command: str) -> str:
        """The same as full as a test can make it: no file of the process may have a single byte."""
        full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
        ended, said = await self._apart([command, "--config", str(self.settings)], full)
        assert ended not in (0, None), said
        return said

    async def types_as_nobody_special(self, *command: str) -> str:
        """The same with the rights to files that anybody has: even where we are root."""
        rights = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
        if rights and shutil.which(rights[0]) is None:
            pytest.skip("root without setpriv, which takes the rights of root away")
        self.ended, said = await self._apart([*command, "--config", str(self.settings)], under=rights)
        return said

    async def _apart(self, args: list[str], before: str = "", under: tuple[str, ...] = ()) -> tuple[object, str]:
        """In a process of its own: `run` takes its signals."""
        program = f"{before}from bot.cli import main; main()"
        process = await asyncio.create_subprocess_exec(
            *(*under, sys.executable, "-c", program, *args),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell with an empty folder."""
    return Shell(tmp_path, capsys)


Answers = Mapping[str, Callable[[Any], web.Response]]


@asynccontextmanager
async def answering(answers: Answers, otherwise: Callable[[Any], web.Response] | None = None) -> AsyncIterator[str]:
    """The address of a homeserver that answers by `METHOD path`, given the JSON of the request."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        found = answers.get(f"{request.method} {request.path}", otherwise)
        return refusal(404, "M_UNRECOGNIZED")(body) if found is None else found(body)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


def says(body: Any, **more: Any) -> Callable[[Any], web.Response]:
    """An answer that is always the same."""
    return lambda _: web.json_response(body, **more)


def refusal(status: int, errcode: str, message: str = "no", **more: Any) -> Callable[[Any], web.Response]:
    """A refusal that is always the same."""
    return says({"errcode": errcode, "error": message, **more}, status=status)


def html(status: int = 200) -> Callable[[Any], web.Response]:
    """What a web site answers to everything."""
    return lambda _: web.Response(status=status, text="<html><title>Hello</title></html>", content_type="text/html")
