"""Each command, of each role, in each place and phase: carried out, refused for the right reason, or ignored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from bot.errors import Permanent
from bot.matrix.ids import RoomId
from tests.fuzz.world import PHASES, World, said_since, thawed

# What follows is written from the product's description, not from the code. A cell says what becomes of a command:
DONE = "✓"
REASONS = {
    "only": "Only a moderator can use",
    "mode": "That does not work here, where",
    "place": "does not work here",
    "none": "No breakout rooms are set up here",
    "shut": "No breakout rooms are open now",
    "closing": "The rooms are closing, so this has to wait",
    "first": "End first",
    "already": "running already",
    "cancel": "end cancel takes that back",
    "calm": "Nothing is closing",
    "asked": "Nothing waits",
    "waits": "waits for a yes, not",
    "seat": "has no seat. Give one",
}

MODERATORS = """
                        | none | set up | running | closing | ended | delete asked
setup 4                 | ✓    | ✓      | first   | first   | ✓     | ✓
checkin                 | ✓    | ✓      | ✓       | ✓       | ✓     | ✓
assign @bob to Green    | none | ✓      | ✓       | closing | ✓     | ✓
swap @bob @dan          | none | ✓      | ✓       | closing | ✓     | ✓
unassign @bob           | none | ✓      | ✓       | closing | ✓     | ✓
shuffle now             | none | ✓      | ✓       | closing | ✓     | ✓
fill                    | none | ✓      | ✓       | closing | ✓     | ✓
add Blue                | none | ✓      | ✓       | closing | ✓     | ✓
remove Green            | none | ✓      | ✓       | closing | ✓     | ✓
rename Green to Blue    | none | ✓      | ✓       | closing | ✓     | ✓
task all Read page 12   | none | ✓      | ✓       | closing | ✓     | ✓
status                  | none | ✓      | ✓       | ✓       | ✓     | ✓
prepare                 | none | ✓      | already | cancel  | ✓     | ✓
prepare confirm         | none | asked  | already | cancel  | asked | waits
start 20m               | none | ✓      | already | cancel  | ✓     | ✓
start confirm           | none | asked  | already | cancel  | asked | waits
timer 15m               | none | shut   | ✓       | closing | shut  | shut
extend 5m               | none | shut   | ✓       | ✓       | shut  | shut
end 2m                  | none | shut   | ✓       | ✓       | shut  | shut
end cancel              | none | shut   | calm    | ✓       | shut  | shut
delete                  | none | ✓      | ✓       | ✓       | ✓     | ✓
delete confirm          | none | asked  | asked   | asked   | asked | ✓
broadcast Hello         | none | shut   | ✓       | ✓       | shut  | shut
tell Red Hello          | none | shut   | ✓       | ✓       | shut  | shut
visit Red               | none | shut   | ✓       | ✓       | shut  | shut
queue                   | none | shut   | ✓       | ✓       | shut  | shut
claim Red               | none | shut   | ✓       | ✓       | shut  | shut
resolve Red             | none | shut   | ✓       | ✓       | shut  | shut
"""
"""What moderators type, in their main room, at the desk and in a breakout room."""

IN_MAIN = """
                        | none | set up | running | closing | ended | delete asked
choose 1                | none | mode   | mode    | closing | mode  | mode
me                      | ✓    | ✓      | ✓       | ✓       | ✓     | ✓
rejoin                  | none | ✓      | ✓       | closing | ✓     | ✓
pass                    | none | ✓      | ✓       | closing | ✓     | ✓
"""
"""What everybody may type in the main room."""

SEATLESS = """
                        | none | set up | running | closing | ended | delete asked
choose 1                | none | mode   | mode    | closing | mode  | mode
me                      | ✓    | ✓      | ✓       | ✓       | ✓     | ✓
rejoin                  | none | seat   | seat    | closing | seat  | seat
pass                    | none | ✓      | ✓       | closing | ✓     | ✓
"""
"""The same, typed by a moderator, who takes part in no round."""

IN_A_ROOM = """
                        | none | set up | running | closing | ended | delete asked
!back                   | none | ✓      | ✓       | ✓       | ✓     | ✓
!time                   | none | shut   | ✓       | ✓       | ✓     | ✓
!commands               | ✓    | ✓      | ✓       | ✓       | ✓     | ✓
"""
"""What everybody may type in a breakout room."""

CALLS = """
                        | none | set up | running | closing | ended | delete asked
!help we are stuck      | none | shut   | ✓       | ✓       | shut  | shut
"""
"""A call for help, which from a moderator is a question about the bot; in the main room it is always answered."""

ANYWHERE = """
                        | none | set up | running | closing | ended | delete asked
                        | ✓    | ✓      | ✓       | ✓       | ✓     | ✓
help                    | ✓    | ✓      | ✓       | ✓       | ✓     | ✓
"""
"""What everybody may type everywhere."""

ROLES = """
who         | where | MODERATORS | IN_MAIN | IN_A_ROOM | CALLS | ANYWHERE
ann         | main  | phase      | seatless | place    | ✓     | phase
ann         | desk  | phase      | place   | place     | ✓     | phase
ann         | red   | phase      | place   | phase     | ✓     | phase
ann         | own   | only       | no room | place     | ✓     | phase
bob         | main  | only       | phase   | place     | ✓     | phase
bob         | red   | only       | place   | phase     | phase | phase
bob         | own   | only       | no room | place     | ✓     | phase
out         | red   | only       | place   | phase     | phase | phase
out         | own   | only       | no room | place     | ✓     | phase
gone        | main  | only       | phase   | place     | ✓     | phase
gone        | own   | only       | no room | place     | ✓     | phase
irc_zoe     | main  | silence    | silence | silence   | silence | silence
irc_zoe     | red   | silence    | silence | silence   | silence | silence
irc_zoe     | own   | silence    | silence | silence   | silence | silence
"""
"""Ann moderates, Bob takes part, Out is only in the room Red, Gone was a moderator, Zoe is a bridge's.

`phase`: as the tables above say; `own` is somebody else's room, where nothing is set up (`no room`).
"""

KINDS = {"MODERATORS": MODERATORS, "IN_MAIN": IN_MAIN, "IN_A_ROOM": IN_A_ROOM, "CALLS": CALLS, "ANYWHERE": ANYWHERE}


FULLY = ("running",)
"""In other phases, what is carried out is tried in the main room only, since each such command needs a new class."""


def rows(table: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The first cell of each line, and the others by the heads of their columns."""
    head, *lines = ([cell.strip() for cell in line.split("|")] for line in table.strip("\n").splitlines())
    for first, *cells in lines:
        yield first, dict(zip(head[1:], cells, strict=True))


def cells(phase: str) -> Iterator[tuple[str, str, str, str]]:
    """Who types what where in this phase, and what becomes of it."""
    for who, rules in rows(ROLES):
        place = rules.pop("where")
        for kind, rule in rules.items():
            table = SEATLESS if rule == "seatless" else KINDS[kind]
            for typed, by_phase in rows(table):
                line = typed if typed.startswith("!") else f"!breakout {typed}".strip()
                expected = {"phase": by_phase[phase], "seatless": by_phase[phase], "no room": by_phase["none"]}
                yield who, place, line, expected.get(rule, rule)


class Attempts:
    """One class, and a new one as soon as a command has changed it."""

    def __init__(self, phase: str, stack: AsyncExitStack) -> None:
        self._phase, self._stack = phase, stack
        self._world: World | None = None

    async def type(self, who: str, place: str, line: str) -> str | None:
        """What becomes of it, as a cell says it; None where they cannot even say it there."""
        if self._world is None:
            self._world = await self._stack.enter_async_context(thawed(self._phase))
        world = self._world
        if (room := world.room(place)) is None:
            return None
        world.talk.app._dispatcher._refused_at.clear()  # it has no patience with the same person twice a minute
        kept, calls = await world.kept(), len(world.homeserver.calls)
        positions = {room.id: len(room.events) for room in world.talk.server.rooms.values()}
        try:
            world.talk.user(who).send(room.id, "m.room.message", {"msgtype": "m.text", "body": line})
        except Permanent:
            return None
        await world.settled()
        said = [event for _, event in said_since(world, positions)]
        did = [call for call in world.homeserver.calls[calls:] if call[0] != "event"]
        changed = await world.kept() != kept or any(call[0] != "send" for call in did)
        is_answer = len(said) == 1 and "m.relates_to" in said[0]["content"]
        if changed or (did and not is_answer):
            await self._stack.aclose()
            self._world = None
        if not did and not changed:
            return "silence"
        if (
            not changed
            and len(did) == 1
            and (reason := _reason(str(said[0]["content"].get("body")), did[0][1], room.id))
        ):
            return reason
        return DONE


def _reason(body: str, where: str, room: RoomId) -> str | None:
    found = (name for name, words in REASONS.items() if words in body)
    return next(found, None) if where == room else None


@pytest.mark.parametrize("phase", PHASES)
def test_each_command_does_what_the_table_says_or_is_refused_and_changes_nothing(phase: str) -> None:
    async def play() -> list[str]:
        wrong = []
        async with AsyncExitStack() as stack:
            attempts = Attempts(phase, stack)
            for who, place, line, expected in cells(phase):
                if expected == DONE and place in ("desk", "red") and phase not in FULLY:
                    continue
                found = await attempts.type(who, place, line)
                if found not in (expected, None):
                    wrong.append(f"{who} in {place}, {phase}: {line} → {found}, and not {expected}")
        return wrong

    assert asyncio.run(play()) == []
