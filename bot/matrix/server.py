"""What a homeserver says of itself to everybody: its versions, and how one logs in and registers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.errors import Foreign, Interactive, MatrixError, Permanent, Temporary
from bot.matrix.events import mapping
from bot.matrix.http import Ask, path

NEEDED = (1, 3)
"""The version of Matrix that the bot needs: the first one with room version 10."""

_NUMBER = re.compile(r"v([0-9]{1,4})\.([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class About:
    """What a homeserver is."""

    newest: tuple[int, int]
    """The newest version of Matrix that it speaks; (0, 0) for one of before 2021."""
    time: datetime | None
    """What its clock showed when it answered."""

    @property
    def is_new_enough(self) -> bool:
        """Whether the bot can work there."""
        return self.newest >= NEEDED


async def about(ask: Ask) -> About:
    """Ask a homeserver what it is. Raises `Temporary` where nothing answers, or no homeserver."""
    try:
        answer = await ask("GET", "/_matrix/client/versions")
    except (Permanent, Foreign) as refused:
        raise Temporary(f"HTTP {refused.status} to the question for its versions") from refused
    versions = answer.json.get("versions")
    if not isinstance(versions, list):
        raise Temporary("its answer names no versions of Matrix")
    found = [_NUMBER.fullmatch(version) for version in versions if isinstance(version, str)]
    newest = max(((int(number[1]), int(number[2])) for number in found if number), default=(0, 0))
    return About(newest, answer.server_time)


async def server_name(ask: Ask) -> str | None:
    """What it calls itself, which is the end of its users' ids; None where it does not tell everybody."""
    try:
        name = (await ask("GET", "/_matrix/key/v2/server", timeout_s=10.0)).json.get("server_name")
    except MatrixError:  # one without federation, or a proxy that keeps it to itself
        return None
    return name if isinstance(name, str) else None


def too_old(found: About) -> str:
    """The sentence about a homeserver that is not new enough."""
    speaks = "{}.{}".format(*found.newest) if found.newest > (0, 0) else "a version before 1.1"
    return (
        f"The homeserver is too old: it speaks Matrix {speaks}, and the bot needs Matrix {NEEDED[0]}.{NEEDED[1]} or "
        "newer (room version 10). Have it updated; every Synapse since 2023 will do."
    )


async def takes_passwords(ask: Ask) -> bool:
    """Whether one can log in there with a password; one with the Matrix Authentication Service may say no."""
    answer = (await ask("GET", path("login"))).json
    return any(mapping(flow).get("type") == "m.login.password" for flow in _list(answer.get("flows")))


async def ways_to_register(ask: Ask) -> tuple[frozenset[str], ...]:
    """What each way to make an account asks for, without making one; none where that is closed."""
    try:
        await ask("POST", path("register"), {})
    except Interactive as wanted:
        return tuple(
            frozenset(stage for stage in _list(mapping(flow).get("stages")) if isinstance(stage, str))
            for flow in wanted.flows
        )
    except Permanent:
        return ()
    return (frozenset(),)


async def room_versions(ask: Ask) -> frozenset[str]:
    """The versions of rooms that it can make."""
    answer: Mapping[str, Any] = (await ask("GET", path("capabilities"))).json
    versions = mapping(mapping(answer.get("capabilities")).get("m.room_versions"))
    return frozenset(str(version) for version in mapping(versions.get("available")))


def chosen_version(capabilities: Mapping[str, Any]) -> str:
    """The version of a new room: the default where we know its rules, else the newest such that is there."""
    versions = mapping(mapping(capabilities.get("capabilities")).get("m.room_versions"))
    default, available = versions.get("default"), versions.get("available")
    if default in ("11", "12"):
        return str(default)
    return "11" if isinstance(available, dict) and "11" in available else "10"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
