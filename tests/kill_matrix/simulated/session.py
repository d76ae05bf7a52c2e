"""The session on the fake homeserver, hit at each boundary in each way, compared with the session that nothing hit."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

from tests.kill_matrix.simulated.boundaries import BLOWS, Boundary, Fate, Point
from tests.kill_matrix.simulated.story import ACTS, REST, World

Places: TypeAlias = Mapping[str, Mapping[str, str]]
"""Who is what in which room, by the rooms' names; rooms without the bot left out."""

_MAY_BE = (
    ("has come: welcome", 1),  # who is invited late is welcomed by name
    ("please go to", 0),  # who has gone already need not be asked to
    ("Breakout rooms close at", 1),  # where nothing goes for minutes, this board is outdated before its turn comes
    ("This room closes at", 0),  # the welcome of a room that is made late says so itself
)
"""What may be said so often too, where something took its time."""

_VARIES = (
    (re.compile(r"You have [^.]*? from when everybody is invited\.|The room closes at \S+( UTC)?\."), "UNTIL"),
    (re.compile(r"^- (\d+\. [^:]+): .*$", re.MULTILINE), r"- \1: PEOPLE"),  # the board
    (re.compile(r"\s*^- [^:\n]+(: https?://\S+)?$", re.MULTILINE), ""),  # links of the rooms that are there already
    (re.compile(r"https?://\S+"), "LINK"),
    (re.compile(r"\d{1,2}:\d\d( UTC)?"), "TIME"),
    (re.compile(r"(\d+ (hour|minute|second)s?( and | )?)+"), "DURATION "),
)


@dataclass(slots=True)
class Outcome:
    """What the homeserver saw of one session."""

    places: dict[str, Places] = field(default_factory=dict)
    """After each act."""
    said: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Each message of the bot: its room's name, its text as it was sent first."""
    invites: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each person was invited to each room."""
    left_over: int = 0
    """Rooms in which the bot still is at the end, besides the main room."""
    boundaries: Sequence[Boundary] = ()
    hit: Mapping[str, Boundary] = field(default_factory=dict)
    lives: int = 1


async def played(points: Iterable[Point] = ()) -> Outcome:
    """The whole session, hit at these points, one an act at most."""
    fate, outcome = Fate(points), Outcome()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), fate)
        try:
            await world.meet()
            for name, act in ACTS.items():
                fate.begin(name)
                await act(world)
                await world.passes(REST)
                outcome.places[name] = _places(world)
        finally:
            await world.close()
    for room in world.server.rooms.values():
        name = str(room.content("m.room.name").get("name"))
        for event in room.events:
            content = event["content"]
            if event["sender"] != world.homeserver.me:
                continue
            if event["type"] == "m.room.message" and "m.new_content" not in content:
                outcome.said[name, _plain(str(content.get("body")))] += 1
            if event["type"] == "m.room.member" and content["membership"] == "invite":
                outcome.invites[name, event["state_key"]] += 1
    outcome.left_over = len(_places(world)) - 1
    outcome.boundaries, outcome.hit, outcome.lives = fate.seen, fate.hit, world.lives
    return outcome


def differences(hit: Outcome, unhurt: Outcome) -> list[str]:
    """What is not as it would have been, a sentence each."""
    found = [
        f"after “{act}”, {room} has {hit.places.get(act, {}).get(room)}, not {people}"
        for act, places in unhurt.places.items()
        for room, people in places.items()
        if hit.places.get(act, {}).get(room) != people
    ]
    found += [
        f"after “{act}”, there is {room} with {places[room]}"
        for act, places in hit.places.items()
        for room in places
        if room not in unhurt.places[act]
    ]
    for key in hit.said | unhurt.said:
        may_be = {unhurt.said[key], *(times for part, times in _MAY_BE if part in key[1])}
        if hit.said[key] not in may_be:
            found.append(f"said {hit.said[key]}×, not {unhurt.said[key]}×: {key}")
    here, there = hit.invites, unhurt.invites
    return found + [
        f"invited {here[key]}×, not {there[key]}×: {key}" for key in here | there if here[key] != there[key]
    ]


def points(unhurt: Outcome) -> list[Point]:
    """Every boundary of a session, with each blow."""
    counts = Counter((boundary.act, boundary.kind) for boundary in unhurt.boundaries)
    return [
        Point(act, kind, number, blow)
        for (act, kind), times in counts.items()
        for number in range(times)
        for blow in BLOWS[kind]
    ]


def dealt(wanted: Iterable[Point]) -> list[tuple[Point, ...]]:
    """The points in as few sessions as can be, one an act in each."""
    by_act: dict[str, list[Point]] = {}
    for point in wanted:
        by_act.setdefault(point.act, []).append(point)
    return [tuple(filter(None, session)) for session in zip_longest(*by_act.values())]


def missed(session: Iterable[Point], hit: Outcome) -> list[Point]:
    """The points that were not reached: a blow in an act before left fewer boundaries to theirs. Try them alone."""
    return [point for point in session if point.act not in hit.hit]


def _places(world: World) -> Places:
    return {
        str(room.content("m.room.name").get("name")): {
            user: membership for user, membership in sorted(room.members.items()) if membership in ("join", "invite")
        }
        for room in world.server.rooms.values()
        if room.membership(world.homeserver.me) == "join"
    }


def _plain(text: str) -> str:
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return text
