"""What the plugin remembers comes back as it was, and an outdated session is not saved."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.store.connection import Connection
from bot.store.database import Database
from bot.store.migrate import migrate
from plugins.breakout.domain.model import (
    Confirm,
    Door,
    Errand,
    Help,
    Mode,
    Pending,
    Phase,
    Presence,
    Room,
    Seat,
    Session,
)
from plugins.breakout.store import Desk, OutdatedError, Sessions
from plugins.breakout.store import sessions as table
from tests.unit.breakout.example import MAIN, MOD, NOW, running_session

LATER = NOW + timedelta(minutes=7, microseconds=1500)
FULL = Session(
    id="s1",
    main=MAIN,
    phase=Phase.CLOSING,
    mode=Mode.CHOOSE,
    rooms=(
        Room(
            1,
            "Team “Ä” 🙂",
            task="Discuss\nthis",
            attempt=3,
            room_id="!r1:x",
            locked=True,
            welcomed_again=True,
            help=Help("@a:x", NOW, "please", 2, MOD, reminded=True, attended_by=MOD, attended_since=LATER),
            visited_at=LATER,
        ),
        Room(2, "Gone", removed=True, closed=True),
    ),
    set_up_by=MOD,
    seats={
        "@b:x": Seat(
            "@b:x", 1, True, Presence.UNREACHABLE, "no such user", 2, NOW, 2, LATER, late=True, needs_invite=True
        ),
        "@a:x": Seat("@a:x", 1, presence=Presence.IN_MAIN, unwelcomed_since=LATER),
    },
    everyone=True,
    here_only=True,
    group_size=4,
    capacity=6,
    kept=True,
    door=Door.OPEN,
    prepared_at=NOW,
    prepared_told=True,
    round=2,
    limit=timedelta(minutes=20),
    started_at=NOW,
    started_by=MOD,
    clock_at=NOW,
    ends_at=LATER,
    timed_end=LATER,
    closing_by=MOD,
    closing_at=NOW,
    ended_at=LATER,
    warned=frozenset({60, 300}),
    forewarned=True,
    passed=frozenset({"@c:x"}),
    taps=frozenset({"@d:x"}),
    waiting=frozenset({"@e:x"}),
    guests=frozenset({(MOD, 1)}),
    left_out=frozenset({"@f:x"}),
    outsiders=frozenset({("@g:x", 1)}),
    asked_at={"@a:x": NOW},
    pending=Pending(Confirm.DELETE, MOD, LATER, "confirm:$e", timedelta(minutes=5)),
    errands=(Errand("$e", MOD, MAIN, "$thread", 1, "$other"),),
    board=4,
    reminded=True,
    duration_announced=True,
    delete_announced=True,
)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    """A transaction in a store with the plugin's tables."""
    database = await Database.open(tmp_path / "data")
    await migrate(database, "breakout", "plugins.breakout.migrations")
    async with database.write() as open_connection:
        yield open_connection
    await database.close()


def test_the_example_of_these_tests_has_something_in_every_field() -> None:
    plain = Session("", "", Phase.SET_UP, Mode.AUTO, (), "")
    same = {f.name for f in fields(Session) if getattr(FULL, f.name) == getattr(plain, f.name)}
    assert same == {"revision"}


async def test_a_session_comes_back_as_it_was(connection: Connection) -> None:
    sessions = Sessions(connection)
    saved = await sessions.save(FULL)
    loaded = await sessions.get(MAIN)
    assert saved == replace(FULL, revision=1)
    assert loaded == saved
    assert loaded is not None
    assert list(loaded.seats) == list(FULL.seats)


async def test_half_a_character_comes_back_as_it_was_too(connection: Connection) -> None:
    odd = replace(FULL, rooms=(Room(1, "Team \ud83d"),))
    await Sessions(connection).save(odd)
    assert await Sessions(connection).get(MAIN) == replace(odd, revision=1)


async def test_each_save_is_a_revision_and_an_outdated_one_is_refused(connection: Connection) -> None:
    sessions = Sessions(connection)
    first = await sessions.save(running_session())
    second = await sessions.save(replace(first, board=2))
    assert second.revision == 2
    with pytest.raises(OutdatedError):
        await sessions.save(replace(first, board=3))
    assert await sessions.get(MAIN) == second


async def test_a_session_whose_place_another_took_lives_on_until_its_rooms_are_closed(
    connection: Connection,
) -> None:
    sessions = Sessions(connection)
    former = await sessions.save(running_session())
    former = await sessions.save(replace(former, phase=Phase.ENDED), retired=True)
    newer = await sessions.save(replace(running_session(), id="s2"))
    assert await sessions.get(MAIN) == newer
    assert await sessions.retired(MAIN) == [former]
    assert await sessions.of_id(former.id) == former
    closed = replace(former, rooms=tuple(replace(room, closed=True) for room in former.rooms))
    await sessions.save(closed, retired=True)
    assert await sessions.retired(MAIN) == []


async def test_a_deleted_session_is_nobody_s_but_its_rooms_are_still_closed(connection: Connection) -> None:
    sessions = Sessions(connection)
    running = await sessions.save(running_session())
    deleted = await sessions.save(replace(running, phase=Phase.DELETED))
    assert await sessions.get(MAIN) is None
    assert await sessions.retired(MAIN) == [deleted]
    assert await sessions.mains() == [MAIN]


async def test_a_session_that_never_had_rooms_leaves_nothing_to_do_when_deleted(connection: Connection) -> None:
    sessions = Sessions(connection)
    saved = await sessions.save(Session("s1", MAIN, Phase.SET_UP, Mode.AUTO, (Room(1, "A"),), MOD))
    assert await sessions.mains() == [MAIN]
    await sessions.save(replace(saved, phase=Phase.DELETED))
    assert await sessions.mains() == []


async def test_a_desk_is_remembered_and_each_attempt_to_make_it_has_a_key_of_its_own(
    connection: Connection,
) -> None:
    sessions = Sessions(connection)
    assert await sessions.desk(MAIN) is None
    await sessions.save_desk(Desk(MAIN))
    await sessions.save_desk(made := Desk(MAIN, "!desk:x", wanted=False))
    assert await sessions.desk(MAIN) == made
    assert await sessions.mains() == [MAIN]
    assert made.creation_key != replace(made, attempt=2).creation_key


async def test_of_a_session_of_which_nothing_is_left_nobody_is_remembered(connection: Connection) -> None:
    store = Sessions(connection)
    saved = await store.save(FULL)
    gone = replace(saved, phase=Phase.DELETED, rooms=tuple(replace(room, closed=True) for room in saved.rooms))
    await store.save(gone)
    [body] = (await connection.execute(select(table.c.body))).scalars()
    assert not re.findall(r"@\w+:x|please|Discuss", json.dumps(body))
    assert await store.knows(MAIN)
    assert await store.of_id(FULL.id) is not None
