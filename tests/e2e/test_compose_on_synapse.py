"""docs/install.md without containers: the homeserver of the compose file, its services that run once, and a session."""

from __future__ import annotations

import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.matrix.logins import login_password
from bot.testing.encrypted import EncryptedUser
from bot.testing.raw import open_session
from bot.testing.synapse import Account, Homeserver, SynapseMissing, synapse_version
from tests.deploy.test_compose import VALUES, filled_in
from tests.e2e.program import PATIENCE, running, types

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
OF_THE_CONTAINER = (
    *("server_name", "public_baseurl", "signing_key_path", "media_store_path", "pid_file", "listeners", "database"),
    *("trusted_key_servers", "suppress_key_server_warning", "registration_shared_secret"),
)
"""Where the container keeps things and listens, and what the homeserver of our tests must have of its own."""


def composed(server: str, secret: str) -> dict[str, Any]:
    text = filled_in(COMPOSE.read_text("utf-8"), {**VALUES, "SERVER_NAME": server, "SECRET": secret})
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.synapse
async def test_three_values_and_a_few_commands_make_an_encrypted_session(tmp_path: Path) -> None:
    try:
        synapse_version()
    except SynapseMissing as reason:
        pytest.skip(str(reason))
    synapse = yaml.safe_load(composed("any", "any")["configs"]["homeserver"]["content"])
    settings = {key: value for key, value in synapse.items() if key not in OF_THE_CONTAINER}
    async with AsyncExitStack() as stack:
        homeserver = await stack.enter_async_context(Homeserver(limits="stock", settings=settings))
        session = await stack.enter_async_context(open_session())
        written = homeserver.folder / "homeserver.yaml"
        secret = yaml.safe_load(written.read_text("utf-8"))["registration_shared_secret"]
        services = composed(homeserver.server_name, secret)["services"]
        # docker compose run --rm admin
        [program, *words] = services["admin"]["entrypoint"]
        words[words.index("--config") + 1] = str(written)
        await types(str(Path(sys.executable).with_name(program)), *words, "--password", "secret", homeserver.url)
        # docker compose run --rm register
        here = {"BREAKOUT_BOT_HOMESERVER__URL": homeserver.url, "BREAKOUT_BOT_STORE__PATH": str(tmp_path / "data")}
        once = services["register"]
        said = await types("-m", "bot", *once["command"], given={**once["environment"], **here})
        assert re.search(r"^    ((?:\w{4} ?)+)$", said, re.MULTILINE), said
        # docker compose up -d
        given = {**services["bot"]["environment"], **here}
        await stack.enter_async_context(running(tmp_path, given=given))
        # docker compose exec bot breakout-bot check
        assert "✗" not in await types("-m", "bot", "check", given=given)

        async def come(localpart: str, account: Account) -> EncryptedUser:
            user = EncryptedUser(session, homeserver.url, account, tmp_path / localpart, name=localpart)
            stack.push_async_callback(user.close)
            await user.published()
            return user

        me, admin = given["BREAKOUT_BOT_HOMESERVER__USER_ID"], homeserver.user_id(VALUES["ADMIN"])
        ann = await come("ann", Account(admin, *await login_password(homeserver.url, admin, "secret", "phone")))
        bob = await come("bob", await homeserver.account("bob", "secret"))
        main = await ann.create_room("Class 7b", powers={me: 100}, encrypted=True)
        await ann.invite(main, bob.user_id)
        await bob.join(main)
        await ann.invite(main, me)
        await ann.message("setup 4", main, PATIENCE)
        await ann.say(main, "!breakout setup 1")
        await ann.message("is planned", main, PATIENCE)
        await ann.say(main, "!breakout start 10m")
        room = (await bob.invited(" · Class 7b", PATIENCE)).room
        await bob.join(room)
        await bob.message("Welcome to", room, PATIENCE)
