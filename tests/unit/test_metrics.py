"""What is counted, under which names."""

from __future__ import annotations

import pytest

from bot.matrix.http import endpoint, path
from bot.metrics import Metrics


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (path("sync"), "sync"),
        (path("createRoom", "key-of-this-attempt"), "createRoom"),
        (path("rooms", "!a/b:x", "send", "m.room.message", "breakout:reply:$1"), "send"),
        (path("rooms", "!a:x", "state", "m.room.member", "@ann:x"), "state"),
        (path("rooms", "!a:x", "state"), "state"),
        (path("rooms", "!a:x", "@ann:x"), "other"),
        (path("rooms"), "other"),
        (path("join", "!a:x"), "join"),
        (path("user", "@bot:x", "account_data", "org.example"), "account_data"),
        (path("keys", "query"), "keys/query"),
        (path("keys", "device_signing", "upload"), "keys/device_signing"),
        (path("sendToDevice", "m.room.encrypted", "3f"), "sendToDevice"),
        (path("something", "@ann:x"), "other"),
        ("/_synapse/admin/v1/join/%21a%3Ax", "admin"),
        ("/elsewhere", "other"),
    ],
)
def test_a_request_is_counted_without_its_ids(where: str, name: str) -> None:
    assert endpoint(where) == name


async def test_who_cannot_be_read_keeps_nobody_else_from_being_read() -> None:
    metrics = Metrics()

    async def broken() -> None:
        raise ValueError

    async def works() -> None:
        metrics.inbox.set(3)

    metrics.at_scrape(broken)
    metrics.at_scrape(works)
    page = (await metrics.page()).decode()
    assert "breakout_bot_inbox_events 3.0" in page
    assert 'breakout_bot_errors_total{where="metrics"} 1.0' in page


async def test_two_bots_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.requested("send", "ok", 0.1)
    assert 'endpoint="send"' in (await one.page()).decode()
    assert 'endpoint="send"' not in (await other.page()).decode()
