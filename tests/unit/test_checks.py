"""What `check` makes of what it sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.check import log_faults
from bot.checks.account import account
from bot.checks.finding import Finding
from bot.checks.homeserver import homeserver
from bot.checks.machine import space
from bot.checks.rooms import rooms
from bot.clock import SystemClock
from bot.config import AccessConfig, Config
from bot.loader import load
from bot.matrix.http import asking
from bot.matrix.ids import UserId
from bot.testing.clock import FakeClock
from tests.admin import ME, V3, VERSIONS, Answers, answering, html, refusal, says

NEW = says({"versions": ["v1.12"]})


async def all_of(found: AsyncIterator[Finding]) -> dict[str, Finding]:
    return {finding.name: finding async for finding in found}


async def of_homeserver(answers: Answers, access: AccessConfig | None = None) -> dict[str, Finding]:
    async with answering({f"GET {VERSIONS}": NEW, **answers}) as url:
        return await all_of(homeserver(url, FakeClock(), access or AccessConfig(), ME))


@pytest.mark.parametrize(("apart", "ok"), [(0, True), (25, True), (-25, True), (90, False), (-90, False)])
async def test_clocks_that_are_apart_are_told(apart: int, ok: bool) -> None:
    theirs = FakeClock().now().replace(tzinfo=UTC) - timedelta(seconds=apart)
    date = {"Date": format_datetime(theirs, usegmt=True)}
    found = (await of_homeserver({f"GET {VERSIONS}": says({"versions": ["v1.12"]}, headers=date)}))["clock"]
    assert found.ok is ok
    if not ok:
        assert f"the clock here is 90 s {'ahead of' if apart > 0 else 'behind'} the homeserver's" in found.message
        assert found.remedy


def flows(*ways: list[str]) -> Any:
    return says({"session": "s", "flows": [{"stages": stages} for stages in ways]}, status=401)


@pytest.mark.parametrize(
    ("answer", "allowed", "said"),
    [
        (flows(["m.login.dummy"]), (), "without any check"),
        (flows(["m.login.registration_token"], ["m.login.dummy", "m.login.terms"]), (), "without any check"),
        (flows(["m.login.recaptcha", "m.login.email.identity"]), ("@*:hs.example",), "with an e-mail address"),
        (flows(["m.login.registration_token"]), (), None),
        (flows(["m.login.dummy"]), ("@ann:hs.example", "@t-*:hs.example"), None),
        (refusal(403, "M_FORBIDDEN"), (), None),
    ],
)
async def test_open_registration_beside_many_inviters_is_told(
    answer: Any, allowed: tuple[str, ...], said: str | None
) -> None:
    found = (await of_homeserver({f"POST {V3}register": answer}, AccessConfig(allowed_inviters=allowed)))["invites"]
    assert found.ok is (said is None)
    assert (said or "strangers cannot invite the bot") in found.message
    assert found.ok or 'access: {allowed_inviters: ["@teacher:hs.example"]}' in found.remedy


async def test_inviters_from_everywhere_are_mentioned() -> None:
    found = (await of_homeserver({}, AccessConfig(allowed_inviters=("@*",))))["invites"]
    assert found.ok
    assert "anybody in all of Matrix may invite the bot" in found.message


async def test_a_homeserver_that_asks_to_wait_is_not_asked_about_registration_again() -> None:
    found = await of_homeserver({f"POST {V3}register": refusal(429, "M_LIMIT_EXCEEDED", retry_after_ms=1000)})
    assert "invites" not in found


@pytest.mark.parametrize(("free", "ok", "said"), [(3 * 10**9, True, "3.0 GB"), (199_999_999, False, "199 MB")])
def test_little_space_is_told(free: int, ok: bool, said: str) -> None:
    found = space(free)
    assert found.ok is ok
    assert said in found.message


# --- the account


async def of_account(
    answers: Answers, token: str | None = None, needs_admin: tuple[str, ...] = ()
) -> dict[str, Finding]:
    answers = {
        f"GET {V3}account/whoami": says({"user_id": ME, "device_id": "D"}),
        f"GET {V3}capabilities": says({"capabilities": {"m.room_versions": {"available": {"10": "stable"}}}}),
        f"POST {V3}keys/query": says({}),
        f"GET {V3}devices": says({"devices": []}),
        f"GET {V3}sync": says({"next_batch": "s"}),
        **answers,
    }
    async with answering(answers) as url:
        login = {"url": url, "user_id": ME, "access_token": "t"}
        return await all_of(account(Config.model_validate({"homeserver": login}), token, needs_admin))


DATA = f"GET {V3}user/{ME}/account_data/org.breakoutbot.limits"
OVERRIDE = f"GET /_synapse/admin/v1/users/{ME}/override_ratelimit"


@pytest.mark.parametrize(
    ("answers", "token", "ok", "said"),
    [
        ({DATA: says({"per_second": "0.200"})}, None, False, "12 requests a minute"),
        ({DATA: says({"per_second": None})}, None, True, "no limits"),
        ({DATA: refusal(404, "M_NOT_FOUND")}, None, False, "not known yet"),
        ({OVERRIDE: says({"messages_per_second": 0, "burst_count": 0})}, "a", True, "an admin has lifted"),
        ({OVERRIDE: says({}), DATA: says({"per_second": "0.2"})}, "a", False, "12 requests a minute"),
        (
            {OVERRIDE: refusal(403, "M_FORBIDDEN", "You are not a server admin")},
            "a",
            False,
            "You are not a server admin",
        ),
    ],
)
async def test_the_limits_are_told(answers: Answers, token: str | None, ok: bool, said: str) -> None:
    found = (await of_account(answers, token))["limits"]
    assert found.ok is ok
    assert said in found.message
    if "12 requests" in said:
        assert "override_ratelimit" in found.remedy


@pytest.mark.parametrize(
    ("answer", "ok", "said", "remedy"),
    [
        (says({"name": ME, "admin": True}), True, "is an admin of the homeserver", ""),
        (
            refusal(403, "M_FORBIDDEN", "You are not a server admin"),
            False,
            "does nothing yet",
            f'/_synapse/admin/v1/users/{ME}/admin"`',
        ),
        (refusal(404, "M_UNRECOGNIZED"), False, "is no Synapse", "take the setting out"),
        (html(404), False, "a proxy keeps its admin API back", "pass /_synapse/admin on"),
    ],
)
async def test_a_setting_that_needs_an_admin(answer: Any, ok: bool, said: str, remedy: str) -> None:
    (breakout,) = load({"breakout": {"members": "force_join"}})
    assert breakout.needs_admin == "plugins.breakout.members: force_join"
    found = (await of_account({f"GET /_synapse/admin/v2/users/{ME}": answer}, None, (breakout.needs_admin,)))["admin"]
    assert found.ok is ok
    assert breakout.needs_admin in found.message
    assert said in found.message
    assert remedy in found.remedy


def test_without_such_a_setting_nobody_asks_for_an_admin() -> None:
    assert [each.needs_admin for each in load({"breakout": {}, "hello": {}})] == ["", ""]


@pytest.mark.parametrize(("versions", "ok"), [({"9": "stable"}, False), ({}, False), ({"11": "s", "12": "s"}, True)])
async def test_the_versions_of_rooms_are_told(versions: dict[str, str], ok: bool) -> None:
    available = says({"capabilities": {"m.room_versions": {"available": versions}}})
    found = (await of_account({f"GET {V3}capabilities": available}))["room-version"]
    assert found.ok is ok


# --- rooms


def event(type_: str, content: dict[str, Any], sender: str = "@ann:hs.example") -> dict[str, Any]:
    return {"type": type_, "state_key": "", "content": content, "sender": sender, "event_id": "$e"}


async def of_rooms(*state: dict[str, Any], timeline: tuple[dict[str, Any], ...] = ()) -> dict[str, Finding]:
    room = {"state": {"events": list(state)}, "timeline": {"events": list(timeline)}}
    answer = says({"next_batch": "s", "rooms": {"join": {"!r:hs.example": room}}})
    async with answering({f"GET {V3}sync": answer}) as url, asking(url, "t") as ask:
        return await all_of(rooms(ask, UserId(ME)))


CREATE, NAME = event("m.room.create", {"room_version": "11"}), event("m.room.name", {"name": "Class 7b"})


async def test_the_rights_in_a_main_room_are_told() -> None:
    levels = event("m.room.power_levels", {"users": {ME: 50}})
    encrypted = event("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    found = (await of_rooms(CREATE, NAME, levels, timeline=(encrypted,)))["room !r:hs.example"]
    assert found.ok
    assert "room “Class 7b”: joined, encrypted, power level 50; the bot may speak and mention @room" in found.message


async def test_a_room_in_which_the_bot_may_not_speak_is_a_fault() -> None:
    levels = event("m.room.power_levels", {"events_default": 10, "users": {}})
    found = (await of_rooms(CREATE, NAME, levels))["room !r:hs.example"]
    assert not found.ok
    assert "may not speak there, which takes level 10" in found.message
    assert f"/op {ME} 10" in found.remedy


async def test_rooms_of_our_own_and_rooms_that_were_replaced_are_no_main_rooms() -> None:
    ours = event("m.room.create", {"room_version": "12"}, ME)
    assert "room !r:hs.example" not in await of_rooms(ours)
    assert "room !r:hs.example" not in await of_rooms(CREATE, event("m.room.tombstone", {}))
    assert "invite @bot:hs.example to a room" in (await of_rooms(ours))["rooms"].remedy


# --- at the start of the bot


async def test_faults_are_logged_with_what_mends_them_and_nothing_else(tmp_path: Path) -> None:
    shown = {f"GET {VERSIONS}": NEW, f"GET {V3}account/whoami": refusal(401, "M_UNKNOWN_TOKEN")}
    async with answering(shown) as url:
        login = {"url": url, "user_id": ME, "access_token": "t"}
        config = Config.model_validate({"homeserver": login, "store": {"path": str(tmp_path)}})
        with capture_logs() as logged:
            await log_faults(config, SystemClock())
    assert [(line["log_level"], line["found"]) for line in logged] == [("warning", "login")]
    assert "put a new one there" in logged[0]["message"]
