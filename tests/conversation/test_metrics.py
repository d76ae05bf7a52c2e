"""What an operator reads in numbers of what happens."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bot.errors import Temporary
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Talk, conversation, life
from tests.conversation.breakout import started, under_way


async def scraped(talk: Talk) -> dict[str, float]:
    """Every sample, as `name{label=value,…}` without its zeros."""
    families = text_string_to_metric_families((await talk.app.metrics.page()).decode())
    samples = [sample for family in families for sample in family.samples]
    return {_name(sample): sample.value for sample in samples if sample.value}


def _name(sample: Any) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}" if labels else sample.name


async def test_sessions_and_people_are_counted_as_they_stand() -> None:
    async with conversation() as talk:
        room = await started(talk)
        seen = await scraped(talk)
        assert seen["breakout_sessions{phase=running}"] == 1
        assert seen["breakout_people{presence=invited}"] == 4
        talk.user("bob").join(talk.room_named("Red").id)
        await talk.settled()
        seen = await scraped(talk)
        assert seen["breakout_people{presence=joined}"] == 1
        assert seen["breakout_people{presence=invited}"] == 3
        await room.says("@ann", "!breakout end now")
        seen = await scraped(talk)
        assert seen["breakout_sessions{phase=ended}"] == 1
        assert not any(name.startswith("breakout_people") for name in seen)
        await room.says("@ann", "!breakout delete")
        await room.says("@ann", "!breakout delete confirm")
        assert not any(name.startswith("breakout_sessions") for name in await scraped(talk))


async def test_steps_are_counted_by_what_came_of_them() -> None:
    async with conversation() as talk:
        talk.homeserver.fail("create", Temporary("no answer"), when=lambda plan, _key: plan.name.startswith("Red"))
        await started(talk)
        await talk.passes(60)
        seen = await scraped(talk)
        assert seen["breakout_steps_total{kind=make room,outcome=done}"] == 3  # two rooms and the desk
        assert seen["breakout_steps_total{kind=make room,outcome=again}"] == 1
        assert seen["breakout_bot_passes_total{outcome=done,worker=plugins}"] > 0


async def test_who_waits_for_help_is_seen_until_somebody_comes() -> None:
    async with conversation() as talk:
        await under_way(talk)
        red = talk.room_named("Red")
        await red.says("@bob", "!help We are lost")
        await talk.passes(100)
        seen = await scraped(talk)
        assert (seen["breakout_help_unclaimed"], seen["breakout_help_oldest_seconds"]) == (1, 100)
        await talk.rooms_named("Class 7b")[0].says("@ann", "!breakout claim 1")
        seen = await scraped(talk)
        assert "breakout_help_unclaimed" not in seen
        assert "breakout_help_oldest_seconds" not in seen
        assert seen["breakout_help_wait_seconds_sum{until=claimed}"] == 100
        await talk.passes(20)
        await talk.rooms_named("Class 7b")[0].says("@ann", "!breakout resolve 1")
        seen = await scraped(talk)
        assert seen["breakout_help_wait_seconds_sum{until=closed}"] == 120
        assert seen["breakout_help_wait_seconds_count{until=closed}"] == 1


async def test_commands_are_counted_by_their_declared_name() -> None:
    async with conversation() as talk:
        room = await started(talk)
        await room.says("@ann", "!bo OPEN")
        await room.says("@bob", "!breakout end")
        await room.says("@bob", "!breakout end")  # too soon to be refused once more
        await room.says("@ann", "!breakout frobnicate")
        counted = {name: value for name, value in (await scraped(talk)).items() if "commands_total" in name}
        assert counted == {
            "breakout_bot_commands_total{command=breakout setup,outcome=done}": 1,
            "breakout_bot_commands_total{command=breakout start,outcome=done}": 1,
            "breakout_bot_commands_total{command=breakout start,outcome=refused}": 1,
            "breakout_bot_commands_total{command=breakout end,outcome=refused}": 1,
            "breakout_bot_commands_total{command=breakout end,outcome=unanswered}": 1,
            "breakout_bot_commands_total{command=unknown,outcome=refused}": 1,
        }


async def test_the_answer_time_runs_from_the_arrival_to_the_answer() -> None:
    async with conversation() as talk:
        room = await started(talk)
        before = await scraped(talk)
        slow = Temporary("no answer", timedelta(seconds=7))
        talk.homeserver.fail("send", slow, when=lambda _room, _type, _content, key: ":reply:" in key)
        await room.says("@ann", "!breakout timer 5m")
        await room.says("@bob", "!breakout pass")  # answered by ✅
        await talk.passes(7)
        seen = await scraped(talk)
        name = "breakout_bot_answer_seconds"
        assert seen[f"{name}_count"] - before[f"{name}_count"] == 2
        assert seen[f"{name}_sum"] == 14  # of a room's answers the second waited for the first


async def test_what_is_to_be_sent_is_counted_until_it_is_sent() -> None:
    async with conversation() as talk:
        room = await started(talk)
        talk.homeserver.fail("send", Temporary("no answer", timedelta(seconds=30)), times=100)
        await room.says("@ann", "!breakout status")
        await talk.passes(20)
        seen = await scraped(talk)
        assert seen["breakout_bot_outbox_messages{state=due}"] > 0
        assert seen["breakout_bot_oldest_wake_age_seconds{worker=outbox}"] == 20
        talk.homeserver.faults.clear()
        await talk.passes(60)
        seen = await scraped(talk)
        assert "breakout_bot_outbox_messages{state=due}" not in seen
        assert not any("oldest_wake_age" in name for name in seen)


async def test_sync_and_readiness_are_told(tmp_path: Path) -> None:
    server = FakeServer(FakeClock())
    async with life(server, FakeHomeserver(server), tmp_path) as talk:
        seen = await scraped(talk)
        assert seen["breakout_bot_last_sync_timestamp_seconds"] == talk.clock.now().timestamp()
        assert "breakout_bot_ready" not in seen  # nobody told of a login here
        assert seen["breakout_bot_transaction_seconds_count"] > 0


async def test_labels_have_no_ids() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 20m")
        await room.says("@ann", "!breakout broadcast Hello")
        await room.says("@ann", "!breakout end now")
        assert not [name for name in await scraped(talk) if re.search(r"[!@$#][^}]*[:_]", name)]
