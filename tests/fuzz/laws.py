"""What holds whatever people send: nothing breaks, nobody does what they may not, nobody is pinged by proxy."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from itertools import count
from typing import Any

from bot.errors import Permanent
from bot.matrix.ids import RoomId, UserId
from bot.message.render import MAX_BYTES
from bot.testing.harness import Room, user_id
from plugins.breakout.domain.model import Session
from tests.fuzz.strategies import Act, Calls, Forges, Goes, Redacts, Repeats, Sends, Sets, Taps, Waits
from tests.fuzz.world import BrokenError, World, said_since, thawed

TRIED: Counter[str] = Counter()
"""How many acts of each kind were tried in this process; those that the server did not let through are left out."""

LONGEST_S = 10.0
"""Real seconds of the processor for one event: more of them would keep everybody else waiting."""

_numbers = count(1)


def check(phase: str, acts: Sequence[Act]) -> None:
    """Let people do all this in a class, and see that the laws hold."""
    asyncio.run(_checked(phase, acts))


async def _checked(phase: str, acts: Sequence[Act]) -> None:
    async with thawed(phase) as world:
        for act in acts:
            began = time.process_time()
            await _attempt(world, act)
            if (took := time.process_time() - began) > LONGEST_S:
                raise BrokenError(f"{act!r:.200} took {took:.0f} s")
        await _goes_on(world)


async def _attempt(world: World, act: Act) -> None:
    before, positions = await world.kept(), _positions(world)
    moderators = _moderators(world)
    mark = f"mark{next(_numbers)}x"
    if not _done(world, act, mark):
        return
    TRIED[type(act).__name__] += 1
    await world.settled()
    news = said_since(world, positions)
    for _, event in news:
        _is_sound(event)
    actor = _actor(world, act)
    # Who owns the room, or moderates the class, may do much there.
    if actor is None or actor in moderators:
        return
    after = await world.kept()
    if _plan(before[0], actor, act) != _plan(after[0], actor, act) or before[1] != after[1]:
        raise BrokenError(f"{actor} changed the session by {act}:\n{_difference(before[0], after[0])}")
    _says_nothing_elsewhere(world, act, mark, news)
    _pings_nobody(world, actor, moderators, news)


def _positions(world: World) -> dict[RoomId, int]:
    return {room.id: len(room.events) for room in world.talk.server.rooms.values()}


def _moderators(world: World) -> frozenset[str]:
    main = world.places["main"].raw
    return frozenset(user for user in main.joined if main.power.level(user) >= 50)


def _actor(world: World, act: Act) -> str | None:
    """Whose doing it is, where it is somebody's who may do little; None for what nobody does."""
    match act:
        case Sends() | Sets() | Calls() | Redacts() | Taps() | Goes():
            return None if act.place == "own" and act.who == "mallory" else user_id(act.who)
        case Forges():
            return "@eve:evil.test"
        case _:
            return None


# --- doing it


def _done(world: World, act: Act, mark: str) -> bool:
    """Do it as far as the server allows; False where it does not."""
    with suppress(Permanent):
        return _do(world, act, mark)
    return False


def _do(world: World, act: Act, mark: str) -> bool:  # noqa: C901, PLR0911, PLR0912 - one flat list of acts
    server = world.talk.server
    if isinstance(act, Waits):
        world.talk.clock.advance(timedelta(seconds=act.seconds))
        return True
    if isinstance(act, Repeats):
        room_id, event = server.stream[act.which % len(server.stream)]
        sender_is_ours = event["sender"] == world.homeserver.me
        if "state_key" in event or (act.changed and sender_is_ours):
            return False
        world.homeserver.pass_on(room_id, {**event, "origin_server_ts": act.at, **act.changed})
        return True
    room = world.room(act.place)
    if room is None:
        return False
    if isinstance(act, Forges):
        forged = _forged(act.event, world)
        world.homeserver.pass_on(room.id, forged)
        return True
    user = world.talk.user(act.who)
    match act:
        case Sends():
            user.send(room.id, act.type, _marked(act.content, mark))
        case Sets():
            with suppress(AttributeError, TypeError, ValueError):  # the fake server reads what a real one would refuse
                user.set_state(room.id, act.type, act.content, act.key)
                return True
            return False
        case Calls():
            if user.id not in room.raw.joined:
                return False
            server._append(room.raw, user.id, "m.room.member", {**act.content, "membership": "join"}, user.id)
        case Redacts():
            _, event = server.stream[act.which % len(server.stream)]
            if event["sender"] == world.homeserver.me or "state_key" in event:
                return False
            server.redact(user.id, room.id, event["event_id"], f"t{len(server.stream)}")
        case Taps():
            if not (offers := [e for e in room.raw.messages if e["sender"] == world.homeserver.me]):
                return False
            user.react(room.id, offers[-1 - act.which % len(offers)]["event_id"], act.key)
        case Goes(joins=True):
            user.join(room.id)
        case Goes(joins=False):
            user.leave(room.id)
    return True


def _marked(content: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """The content with a word by which it is known again wherever it is said."""
    return {
        name: f"{value} {mark}" if name in ("body", "formatted_body") and isinstance(value, str) else value
        for name, value in content.items()
    }


def _forged(event: Any, world: World) -> Any:
    """Other servers shape their events as they like, but speak for their own people only, and not as a room's state."""
    if not isinstance(event, dict):
        return event
    sender = event.get("sender")
    if isinstance(sender, str) and sender.endswith(f":{world.talk.server.name}"):
        return {**event, "sender": "@eve:evil.test"}
    return event


# --- the laws


def _is_sound(event: Mapping[str, Any]) -> None:
    """What the bot says is small, says whom it pings, and is no apology."""
    content = event["content"]
    if event["type"] != "m.room.message" or not content:
        return
    shown = content.get("m.new_content", content)
    if (size := len(json.dumps(shown, ensure_ascii=False).encode())) > MAX_BYTES:
        raise BrokenError(f"a message of {size} bytes: {content.get('body', '')[:200]}")
    if "Something broke" in str(content.get("body")):
        raise BrokenError(f"the bot said: {content['body']}")
    if not isinstance(content.get("m.mentions"), dict):
        raise BrokenError(f"without m.mentions: {content}")


def _plan(session: Session | None, actor: str, act: Act) -> Any:
    """What of a session this person may not change: all but their own seat and wishes, and calls for help."""
    if session is None:
        return None
    kept = {
        name: getattr(session, name)
        for name in session.__dataclass_fields__
        if name not in ("revision", "board", "asked_at", "seats", "rooms")
    }
    for name in ("passed", "taps", "waiting", "left_out"):
        kept[name] = kept[name] - {actor}
    kept["outsiders"] = {(user, room) for user, room in session.outsiders if user != actor}  # they may decline
    kept["seats"] = {user: seat for user, seat in session.seats.items() if user != actor}
    kept["rooms"] = [{**asdict(room), "help": None} for room in session.rooms]
    del act
    return kept


def _difference(before: Session | None, after: Session | None) -> str:
    if before is None or after is None:
        return f"{before!r:.500}\n→ {after!r:.500}"
    return "\n".join(
        f"{name}: {getattr(before, name)!r} → {getattr(after, name)!r}"
        for name in before.__dataclass_fields__
        if getattr(before, name) != getattr(after, name)
    )


def _says_nothing_elsewhere(
    world: World, act: Act, mark: str, news: Sequence[tuple[RoomId, Mapping[str, Any]]]
) -> None:
    """What somebody wrote in one room is said in no other, but for calls for help at the desk."""
    if not isinstance(act, Sends):
        return
    here, desk = world.places[act.place].id, world.room("desk")
    for room, event in news:
        calls = desk is not None and room == desk.id and act.place in ("red", "green", "main")
        if mark in json.dumps(event["content"]) and room != here and not calls:
            raise BrokenError(f"{act} is said in {room}: {event['content']}")


def _pings_nobody(
    world: World, actor: str, moderators: frozenset[str], news: Sequence[tuple[RoomId, Mapping[str, Any]]]
) -> None:
    """Because of them only moderators are pinged, and themselves; never a whole room."""
    for _, event in news:
        mentions = event["content"].get("m.mentions", {})
        strangers = set(mentions.get("user_ids", ())) - moderators - {actor}
        if mentions.get("room") or strangers:
            raise BrokenError(f"{actor} let the bot ping {mentions}: {event['content'].get('body')}")


async def _goes_on(world: World) -> None:
    """Whoever is in the main room is still answered."""
    main: Room = world.places["main"]
    if not main.raw.power.can_send(world.homeserver.me, "m.room.message"):
        return
    there = [who for who in ("ann", "bob", "dan", "eve") if user_id(who) in main.raw.joined]
    for who in there[:1]:
        positions = _positions(world)
        world.talk.user(who).send(main.id, "m.room.message", {"msgtype": "m.text", "body": "!breakout"})
        await world.settled()
        answers = [event for room, event in said_since(world, positions) if room == main.id]
        if not any(event["type"] == "m.room.message" for event in answers):
            raise BrokenError(f"{UserId(who)} is not answered any more")
