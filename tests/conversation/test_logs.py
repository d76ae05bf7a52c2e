"""One line tells all of a command or a pass, and no line tells what people wrote."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from types import ModuleType
from typing import Any

import pytest
import structlog

from bot.errors import Permanent, Temporary
from bot.logs import set_up_logs
from bot.matrix.events import Message
from bot.plugin import Call, Host, NoConfig, Plugin, Rest, Unit
from bot.testing.harness import Talk, conversation
from tests.conversation.breakout import CLASS, planned

WORD = "Xylophon"
"""What must not be in any log."""

MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """All that was logged at the chattiest level."""
    before = structlog.get_config()
    set_up_logs("DEBUG", "json")
    lines: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        lines.extend(json.loads(line) for line in capsys.readouterr().err.splitlines())
        return lines

    yield read
    structlog.configure(**before)


def of(lines: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    hidden = ("event", "level", "timestamp", "ms")
    return [{k: v for k, v in line.items() if k not in hidden} for line in lines if line["event"] == event]


async def test_a_command_is_one_line(logged: Lines) -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=CLASS)
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout start soon")
        await room.says("@bob", "!breakout end")
    lines = logged()
    setup, start, end = of(lines, "command")
    assert setup == {
        "command": "breakout setup",
        "outcome": "done",
        "role": "moderator",
        "place": "main room",
        "room": room.id,
        "phase": "none",
    }
    assert len(start.pop("session")) > 4
    wanted = {"command": "breakout start", "outcome": "refused", "refusal": "BadDuration", "phase": "set up"}
    assert start == {**setup, **wanted}
    assert (end["role"], end["outcome"], end["refusal"]) == ("anyone", "refused", "NotPermitted")
    assert all(isinstance(line["ms"], int) for line in lines if line["event"] == "command")


async def test_a_pass_that_did_something_is_one_line(logged: Lines) -> None:
    async with conversation() as talk:
        room = await planned(talk)
        talk.server.blocking.add(talk.user("bob").id)
        await room.says("@ann", "!breakout start")
        await talk.passes(30)
    passes = of(logged(), "pass")
    assert passes[0] == {"main": room.id, "steps": {"make room": 1}}  # the desk
    done: dict[str, int] = {}
    for one in passes[1:]:
        for kind, number in one["steps"].items():
            done[kind] = done.get(kind, 0) + number
    # Red was made although Bob let the call fail, and Cleo is invited then.
    assert done == {"make room": 1, "make room (again)": 1, "invite (refused)": 1, "invite": 1}


def broken() -> Plugin[None]:
    """A plugin in which everything breaks, each time with the words of who caused it."""

    @asynccontextmanager
    async def lifespan(_host: Host) -> AsyncIterator[None]:
        yield

    plugin: Plugin[None] = Plugin("broken", "Breaks.", NoConfig, lifespan)

    @plugin.command("stumble", usage=("TEXT",), examples=("stumble over it",))
    async def stumble(call: Call[None], text: Rest) -> None:
        """Break."""
        try:
            dict[str, str]()[text]
        except KeyError as error:
            raise ExceptionGroup(text, [ValueError(text)]) from error

    @plugin.command("wake", usage=("TEXT",), examples=("wake it",))
    async def wake(call: Call[None], text: Rest) -> None:
        """Have the reconciler break."""
        del text
        call.unit.wake("key")

    @plugin.on(Message)
    async def heard(_state: None, _unit: Unit, message: Message) -> None:
        raise LookupError(message.body)

    @plugin.reconciler
    async def reconcile(_state: None, _key: str) -> datetime | None:
        raise ArithmeticError(WORD)

    return plugin


@pytest.mark.parametrize(("form", "private"), [("json", False), ("text", True)])
async def test_nothing_that_people_write_is_logged(
    form: Any, *, private: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, logged: Lines
) -> None:
    set_up_logs("DEBUG", form)
    module = ModuleType("plugins.broken")
    module.plugin = broken()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugins.broken", module)
    async with conversation({"breakout": None, "broken": None}) as talk:
        await _session(talk, private=private)
        await talk.app.metrics.page()
    told = capsys.readouterr().err
    assert told.count("command") > 20
    assert told.count("Traceback") > 3
    assert all(kind in told for kind in ("KeyError", "ExceptionGroup", "LookupError", "ArithmeticError"))
    assert WORD.lower() not in told.lower()


async def _session(talk: Talk, *, private: bool) -> None:
    """A session in which everybody says the word, in all the ways in which one can."""
    people = {name: talk.user(name) for name in ("ann", *CLASS)}
    for name, user in people.items():
        talk.server.names[user.id] = f"{WORD} {name}"
    initial = [("m.room.encryption", "", MEGOLM)] if private else []
    room = await talk.main_room(moderators=["ann"], people=CLASS, name=f"{WORD} class", initial=initial)
    if private:
        people["ann"].send(room.id, "m.room.encrypted", {**MEGOLM, "session_id": WORD, "ciphertext": WORD})
    for line in (
        f"{WORD}, everybody",
        f"!breakout {WORD}",
        f"!breakout setup {WORD}: @{WORD}",
        f"!breakout setup manual\n{WORD} Red: @bob @cleo\nGreen: @dan @eve",
        f"!breakout task all {WORD}",
        f"!breakout rename Green to {WORD} Green",
        f"!breakout assign {WORD} to Red",
        f"!breakout start {WORD}",
        "!breakout start 20m",
    ):
        await room.says("@ann", line)
    red = talk.rooms_named(f"{WORD} Red")[0]
    people["bob"].join(red.id)
    await talk.settled()
    await red.says("@bob", f"!help {WORD}")
    await red.says("@bob", f"!{WORD}")
    await room.says("@bob", f"!breakout end {WORD}")
    await room.says("@ann", f"!breakout broadcast {WORD}")
    relation = {"m.in_reply_to": {"event_id": "$no"}}
    await room.says("@ann", f"!breakout tell {WORD} Red {WORD}", **{"m.relates_to": relation})
    await room.says("@ann", f"!stumble over the {WORD}")
    await room.says("@ann", f"!wake {WORD}")
    people["bob"].react(red.id, red.message(WORD)["event_id"], WORD)
    talk.homeserver.fail("send", Permanent(403, "M_FORBIDDEN", "no"), times=2)
    talk.homeserver.fail("set_state", Temporary("no answer"), times=2)
    await room.says("@ann", f"!breakout tell Green {WORD}")
    await room.says("@ann", f"!breakout rename Green to {WORD}")
    await room.says("@ann", "!breakout end now")
    await talk.passes(90)
    await room.says("@ann", "!breakout delete")
    await room.says("@ann", "!breakout delete confirm")


async def test_who_breaks_a_command_hears_the_reference_that_stands_in_the_log(
    logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("plugins.broken")
    module.plugin = broken()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugins.broken", module)
    async with conversation({"broken": None}) as talk:
        room = await talk.main_room(moderators=["ann"])
        said = await room.says("@ann", "!stumble over it")
    (line,) = of(logged(), "command")
    assert line["outcome"] == "failed"
    assert line["reference"] in said
