"""The account's devices: which of them are leftovers of the bot, and their removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.clock import from_ms
from bot.matrix.events import mapping
from bot.matrix.http import Ask, path
from bot.matrix.ids import UserId
from bot.matrix.proof import ask_as_owner


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the account; `seen` is when it last asked something, as far as the homeserver tells."""

    name: str
    seen: datetime | None


async def leftovers(ask: Ask, display_name: str, ours: str) -> tuple[Device, ...]:
    """The devices besides `ours` that bear the name under which the bot logs in."""
    listed = (await ask("GET", path("devices"))).json.get("devices")
    found = [mapping(device) for device in listed] if isinstance(listed, list) else []
    return tuple(
        Device(name, from_ms(seen) if isinstance(seen := device.get("last_seen_ts"), int) else None)
        for device in found
        if device.get("display_name") == display_name
        and isinstance(name := device.get("device_id"), str)
        and name != ours
    )


async def remove(ask: Ask, me: UserId, devices: Sequence[Device], password: str | None) -> None:
    """Sign devices out for good. Raises `ProofError` where the password is missing or wrong."""
    await ask_as_owner(ask, me, path("delete_devices"), {"devices": [device.name for device in devices]}, password)
