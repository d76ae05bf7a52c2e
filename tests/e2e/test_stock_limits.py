"""A session within the limits of a Synapse that nobody configured."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.matrix.client import NioHomeserver
from bot.matrix.limits import STOCK
from bot.testing.pytest_plugin import People
from bot.testing.synapse import Homeserver
from tests.e2e.test_session_on_synapse import bot_on

PATIENCE = 100.0


@pytest.mark.timeout(240)
async def test_a_session_works_and_an_answer_waits_for_one_token_at_most(
    stock_homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    mia = await people("Mia", on=stock_homeserver)
    guests = [await people(f"Guest {number}", on=stock_homeserver) for number in range(12)]
    name = people.localpart("breakout")
    async with bot_on(stock_homeserver, name, tmp_path, board_interval=3600) as bot:
        main = await mia.create_room("Class 7b")
        for guest in guests:
            await mia.invite(main, guest.user_id)
            await guest.join(main)
            guest.listen()
        await mia.invite(main, bot)
        await mia.message("setup 4", main, PATIENCE)
        await mia.say(main, "!breakout setup 4")
        await mia.message("The start takes", main, PATIENCE)
        began = time.monotonic()
        await mia.say(main, "!breakout start")
        said = (await mia.message("are opening", main, PATIENCE)).body
        await mia.say(main, "!breakout")
        await mia.message("speaks to every room", main, 15)
        rooms = [await guest.invited("Class 7b", PATIENCE) for guest in guests]
        taken = time.monotonic() - began
        assert len({invite.room for invite in rooms}) == 4
        # A busy machine makes it longer and never shorter; the conversations on a throttled server try both.
        estimate = re.search(r"about (\d+) seconds on this server", said)
        assert estimate is not None, said
        assert int(estimate[1]) <= 1.2 * taken


async def test_the_limits_are_found_out_without_anybody_hearing_of_it(
    stock_homeserver: Homeserver, homeserver: Homeserver, people: People
) -> None:
    for server, per_second in ((stock_homeserver, STOCK), (homeserver, None)):
        login = await server.account(people.localpart("curious"), "secret")
        where = (server.url, login.user_id, login.device_id, login.access_token, SystemClock())
        async with NioHomeserver.connect(*where) as account:
            assert await account.find_limits() == per_second
            assert not (await account.sync(None, 0)).joined
        async with NioHomeserver.connect(*where) as account:
            await account.recall_limits()
            assert account.pace().per_second == per_second
