"""docs/install.md without containers: the homeserver of the compose file, its services that run once, and a session."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.matrix.logins import login_password
from bot.testing.encrypted import EncryptedUser
from bot.testing.raw import open_session
from bot.testing.synapse import Account, Homeserver, SynapseMissing, synapse_version
from tests.deploy.test_compose import VALUES, filled_in

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
OF_THE_CONTAINER = (
    *("server_name", "public_baseurl", "signing_key_path", "media_store_path", "pid_file", "listeners", "database"),
    *("trusted_key_servers", "suppress_key_server_warning", "registration_shared_secret"),
)
"""Where the container keeps things and listens, and what the homeserver of our tests must have of its own."""


def stack(server: str, secret: str) -> dict[str, Any]:
    text = filled_in(COMPOSE.read_text("utf-8"), {**VALUES, "SERVER_NAME": server, "SECRET": secret})
    found: dict[str, Any] = yaml.safe_load(text)
    return found


async def runs(program: str, *words: str, given: Mapping[str, str] | None = None) -> str:
    """What a command says, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program.split(), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(given or {})},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.slow
@pytest.mark.synapse
async def test_three_values_and_a_few_commands_make_an_encrypted_session(tmp_path: Path) -> None:
    try:
        synapse_version()
    except SynapseMissing as reason:
        pytest.skip(str(reason))
    synapse = yaml.safe_load(stack("any", "any")["configs"]["homeserver"]["content"])
    settings = {key: value for key, value in synapse.items() if key not in OF_THE_CONTAINER}
    async with Homeserver(limits="stock", settings=settings) as homeserver, open_session() as session:
        written = yaml.safe_load((homeserver.folder / "homeserver.yaml").read_text("utf-8"))
        compose = stack(homeserver.server_name, written["registration_shared_secret"])
        services = compose["services"]
        # docker compose run --rm admin
        [program, *words] = services["admin"]["entrypoint"]
        words[words.index("--config") + 1] = str(homeserver.folder / "homeserver.yaml")
        await runs(str(Path(sys.executable).with_name(program)), *words, "--password", "secret", homeserver.url)
        # docker compose run --rm register
        here = {"BREAKOUT_BOT_HOMESERVER__URL": homeserver.url, "BREAKOUT_BOT_STORE__PATH": str(tmp_path / "data")}
        registering = services["register"]
        said = await runs("-m bot", *registering["command"], given={**registering["environment"], **here})
        assert re.search(r"^    ((?:\w{4} ?)+)$", said, re.MULTILINE), said
        # docker compose up -d; docker compose exec bot breakout-bot check
        env = {**services["bot"]["environment"], **here}
        bot = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot", "run", env={**os.environ, **env})
        try:
            assert "✗" not in await runs("-m bot", "check", given=env)
            me = env["BREAKOUT_BOT_HOMESERVER__USER_ID"]
            user = homeserver.user_id(VALUES["ADMIN"])
            account = Account(user, *await login_password(homeserver.url, user, "secret", "phone"))
            ann = EncryptedUser(session, homeserver.url, account, tmp_path / "ann", name="Ann")
            bob = EncryptedUser(
                session, homeserver.url, await homeserver.account("bob", "secret"), tmp_path / "bob", name="Bob"
            )
            await ann.published()
            await bob.published()
            main = await ann.create_room("Class 7b", powers={me: 100}, encrypted=True)
            await ann.invite(main, bob.user_id)
            await bob.join(main)
            await ann.invite(main, me)
            await ann.message("setup 4", main)
            await ann.say(main, "!breakout setup 1")
            await ann.message("is planned", main)
            await ann.say(main, "!breakout start 10m")
            room = (await bob.invited(" · Class 7b")).room
            await bob.join(room)
            await bob.message("Welcome to", room)
            await ann.close()
            await bob.close()
        finally:
            bot.terminate()
            await bot.wait()
