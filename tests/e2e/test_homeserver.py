"""The homeserver for tests does what the tests take for granted."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bot.testing.pytest_plugin import People
from bot.testing.raw import MatrixError, RawUser, in_thread, open_session, pill
from bot.testing.synapse import Homeserver, SynapseFailed, SynapseMissing, _save_template, synapse_version


async def test_it_answers_on_loopback_only(homeserver: Homeserver) -> None:
    assert homeserver.url.startswith("http://127.0.0.1:")
    assert (homeserver.folder / "homeserver.db").exists()


async def test_a_registered_user_can_log_in_again(homeserver: Homeserver, people: People) -> None:
    name = people.localpart("Rita")
    account = await homeserver.account(name, "secret", "Rita")
    assert account.user_id == homeserver.user_id(name)
    async with open_session() as session:
        again = await RawUser.login(session, homeserver.url, name, "secret")
        assert again.user_id == account.user_id
        assert again.token != account.access_token


async def test_the_same_name_cannot_be_registered_twice(homeserver: Homeserver, people: People) -> None:
    await homeserver.register(people.localpart("Rita"), "secret")
    with pytest.raises(MatrixError) as refusal:
        await homeserver.register(people.localpart("Rita"), "secret")
    assert (refusal.value.status, refusal.value.errcode) == (400, "M_USER_IN_USE")


async def test_people_meet_and_hear_each_other(people: People) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = await ann.create_room("Class 7b", invite=[bob])

    invite = await bob.invited("Class 7b")
    assert (invite.room, invite.sender) == (room, ann.user_id)
    await bob.join(room)
    await ann.membership(room, bob, "join")

    said = await ann.say(room, "Hello Bob", html=f"Hello {pill(bob.user_id, 'Bob')}", mentions=[bob])
    heard = await bob.message("Hello", room)
    assert heard.event_id == said
    assert heard.content["m.mentions"] == {"user_ids": [bob.user_id]}

    await bob.react(room, said, "👍")
    reaction = await ann.wait_for(lambda seen: seen.type == "m.reaction")
    assert reaction.content["m.relates_to"]["key"] == "👍"

    answer = await bob.say(room, "in a thread", relates_to=in_thread(said))
    await bob.edit(room, answer, "in a thread, mended")
    assert (await ann.message("mended")).content["m.relates_to"]["event_id"] == answer

    await bob.redact(room, answer)
    await ann.wait_for(lambda seen: seen.type == "m.room.redaction")
    assert await ann.members(room) == {ann.user_id, bob.user_id}
    assert room in await bob.joined_rooms()
    assert [event["type"] for event in await bob.messages(room, 1)] == ["m.room.redaction"]


async def test_invites_and_kicks_tell_their_reason(people: People) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = await ann.create_room("Room 1")
    await ann.invite(room, bob, "Breakout room Room 1")
    assert (await bob.invited("Room 1")).reason == "Breakout room Room 1"
    await bob.join(room)
    await ann.kick(room, bob, "it is over")
    left = await bob.membership(room, bob, "leave")
    assert (left.section, left.content["reason"]) == ("leave", "it is over")


async def test_power_levels_of_some_change_and_those_of_others_stay(people: People) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = await ann.create_room("Powers", powers={bob.user_id: 50})
    await ann.set_powers(room, {"@carol:localhost": 10}, events_default=5)
    content = await ann.state_of(room, "m.room.power_levels")
    assert content is not None
    assert content["users"][bob.user_id] == 50
    assert content["users"]["@carol:localhost"] == 10
    assert content["events_default"] == 5
    await ann.set_powers(room, {bob.user_id: None})
    content = await ann.state_of(room, "m.room.power_levels")
    assert content is not None
    assert bob.user_id not in content["users"]


async def test_waiting_in_vain_tells_what_was_heard(people: People) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = await ann.create_room("Quiet", invite=[bob])
    await bob.join(room)
    await ann.say(room, "something else")
    await bob.message("something else")
    with pytest.raises(TimeoutError, match="something else"):
        await bob.message("never said", timeout=0.05)


async def test_what_came_before_a_mark_does_not_count(people: People) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = await ann.create_room("Marks", invite=[bob])
    await bob.join(room)
    first = await ann.say(room, "tick")
    assert (await bob.message("tick")).event_id == first
    mark = bob.heard
    second = await ann.say(room, "tick")
    assert (await bob.message("tick", after=mark)).event_id == second


async def test_nobody_misses_what_was_said_during_a_long_pause(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = await ann.create_room("Busy", invite=[bob])
    await bob.join(room)
    short = {"room": {"timeline": {"limit": 5}}}
    monkeypatch.setattr("bot.testing.raw.SYNC_FILTER", short)
    may_sync = asyncio.Event()
    may_sync.set()
    call = bob.call

    async def paused(method: str, where: str, *rest: Any, **named: Any) -> Any:
        if where.endswith("/sync"):
            await may_sync.wait()
        return await call(method, where, *rest, **named)

    monkeypatch.setattr(bob, "call", paused)
    await bob.membership(room, bob, "join")
    mark = bob.heard
    may_sync.clear()
    said = [await ann.say(room, str(number)) for number in range(30)]
    await ann.set_state(room, "m.room.topic", {"topic": "after the pause"})
    may_sync.set()
    await bob.wait_for(lambda seen: seen.type == "m.room.topic", after=mark)
    heard = [seen.event_id for seen in bob.transcript[mark:] if seen.room == room]
    assert heard[:-1] == said


async def test_without_limits_nobody_is_throttled(homeserver: Homeserver, people: People) -> None:
    dora = await people("Dora", limited=True)
    room = await dora.create_room("Busy")
    await asyncio.gather(*(dora.say(room, str(number)) for number in range(30)))


async def test_more_than_ten_people_can_be_invited_at_once_without_limits(people: People) -> None:
    dora = await people("Dora", limited=True)
    room = await dora.create_room("Full", invite=[f"@guest{number}:localhost" for number in range(12)])
    assert len(await dora.members(room, "invite")) == 12


async def test_stock_limits_hold_for_an_ordinary_user(stock_homeserver: Homeserver, people: People) -> None:
    dora = await people("Dora", on=stock_homeserver, limited=True)
    room = await dora.create_room("Busy")

    async def chatter() -> None:
        for number in range(20):
            await dora.say(room, str(number))

    with pytest.raises(MatrixError) as refusal:
        await chatter()
    assert (refusal.value.status, refusal.value.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert refusal.value.retry_after_ms


async def test_stock_limits_are_lifted_for_one_user_as_an_admin_does(
    stock_homeserver: Homeserver, people: People
) -> None:
    dora = await people("Dora", on=stock_homeserver, limited=True)
    await stock_homeserver.override_ratelimit(dora.user_id)
    room = await dora.create_room("Busy")
    for number in range(20):
        await dora.say(room, str(number))


async def test_participants_are_not_throttled_on_a_stock_server(stock_homeserver: Homeserver, people: People) -> None:
    ann = await people("Ann", on=stock_homeserver)
    room = await ann.create_room("Busy")
    for number in range(20):
        await ann.say(room, str(number))


@pytest.mark.synapse
async def test_a_restart_keeps_data_and_listeners() -> None:
    async with _or_skip() as server:
        url = server.url
        token = await server.register("rita", "secret")
        ann, bob = await server.participant("ann", "Ann"), await server.participant("bob", "Bob")
        room = await ann.create_room("Class 7b", invite=[bob])
        await bob.join(room)
        await ann.say(room, "before")
        await bob.message("before")

        await server.restart()

        assert server.url == url
        await ann.say(room, "after")
        await bob.message("after")
        assert token
        assert await ann.members(room) == {ann.user_id, bob.user_id}


@pytest.mark.synapse
async def test_a_second_server_on_the_same_folder_has_the_rooms_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    async with _or_skip(folder=folder) as server:
        ann = await server.participant("ann", "Ann")
        room = await ann.create_room("Kept")
    assert folder.exists()
    async with Homeserver(folder=folder) as server:
        ann = await server.participant("ann")
        assert await ann.joined_rooms() == {room}


def test_servers_that_start_at_once_keep_their_templates_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "homeserver.db").touch()
    template = tmp_path / "kept" / "template.db"
    template.parent.mkdir()
    both_copied = threading.Barrier(2, timeout=10)
    replace = Path.replace

    def replace_when_both_copied(copy: Path, target: Path) -> Path:
        both_copied.wait()
        return replace(copy, target)

    monkeypatch.setattr(Path, "replace", replace_when_both_copied)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(_save_template, [tmp_path / "homeserver.db"] * 2, [template] * 2))
    assert list(template.parent.iterdir()) == [template]


@pytest.mark.synapse
async def test_rooms_have_the_version_that_was_asked_for() -> None:
    async with _or_skip(default_room_version="10") as server:
        ann = await server.participant("ann")
        room = await ann.create_room("Old")
        created = await ann.state_of(room, "m.room.create")
        assert created is not None
        assert created["room_version"] == "10"


@pytest.mark.synapse
def test_the_folder_and_the_process_are_gone_afterwards() -> None:
    with _or_skip() as server:
        folder, pid = server.folder, server.pid
        assert pid is not None
        assert _alive(pid)
    assert not folder.exists()
    assert not _alive(pid)


@pytest.mark.synapse
def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    _or_skip()
    script = (
        "import os, sys, pathlib; from bot.testing.synapse import Homeserver\n"
        "with Homeserver(folder=pathlib.Path(sys.argv[1])) as server:\n"
        "    print(server.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False
    )
    pid = int(parent.stdout)
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)  # it is no child of ours, so that nothing can be awaited
    assert not _alive(pid)


@pytest.mark.synapse
def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    _or_skip()
    with (
        pytest.raises(SynapseFailed, match="listeners"),
        Homeserver(folder=tmp_path, settings={"listeners": "none"}),
    ):
        pass


def test_a_missing_synapse_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)
    with pytest.raises(SynapseMissing, match="pip install"):
        Homeserver().start()


def _or_skip(**options: object) -> Homeserver:
    try:
        synapse_version()
    except SynapseMissing as reason:
        pytest.skip(str(reason))
    return Homeserver(**options)  # type: ignore[arg-type]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " not in stat.read_text()
