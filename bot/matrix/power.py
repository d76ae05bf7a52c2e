"""Who may do what in a room: power levels, and the creators of version-12 rooms above them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.matrix.events import Content

INFINITE = 2**53
"""The level of a version-12 creator: above every level that JSON can carry safely (MSC4289)."""

_CREATORS_RULE_SINCE = 12
_NUMBERED = re.compile("[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Power:
    """A room's `m.room.power_levels`, read with the specification's defaults; malformed values count as missing."""

    users: Mapping[str, int] = field(default_factory=dict)
    users_default: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    events_default: int = 0
    state_default: int = 50
    actions: Mapping[str, int] = field(default_factory=dict)
    creators: frozenset[str] = frozenset()

    @classmethod
    def of(cls, content: Content | None, create: Content, creator: str) -> Power:
        """From the contents of `m.room.power_levels` (None where there is none) and `m.room.create` and its sender."""
        infinite = _creators(create, creator)
        if content is None:
            return cls(users={creator: 100} if creator else {}, state_default=0, creators=infinite)
        defaults = {"invite": 0, "kick": 50, "ban": 50, "redact": 50}
        return cls(
            users=_levels(content.get("users")),
            users_default=_level(content.get("users_default"), 0),
            events=_levels(content.get("events")),
            events_default=_level(content.get("events_default"), 0),
            state_default=_level(content.get("state_default"), 50),
            actions={name: _level(content.get(name), level) for name, level in defaults.items()},
            creators=infinite,
        )

    def level(self, user: str) -> int:
        """The power level of `user`."""
        return INFINITE if user in self.creators else self.users.get(user, self.users_default)

    def needed(self, type_: str, *, state: bool = False) -> int:
        """The level that sending an event of this type takes."""
        return self.events.get(type_, self.state_default if state else self.events_default)

    def can_send(self, user: str, type_: str, *, state: bool = False) -> bool:
        """Whether `user` may send an event of this type."""
        return self.level(user) >= self.needed(type_, state=state)

    def can(self, user: str, action: str) -> bool:
        """Whether `user` may `invite`, `kick`, `ban` or `redact`."""
        return self.level(user) >= self.actions.get(action, 50 if action != "invite" else 0)


def _creators(create: Content, creator: str) -> frozenset[str]:
    version = create.get("room_version", "1")
    if not (isinstance(version, str) and _NUMBERED.fullmatch(version) and int(version) >= _CREATORS_RULE_SINCE):
        return frozenset()
    more = create.get("additional_creators")
    named = [user for user in more if isinstance(user, str)] if isinstance(more, list) else []
    return frozenset([creator, *named])


def _level(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _levels(value: Any) -> Mapping[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): level for name, level in value.items() if isinstance(level, int) and not isinstance(level, bool)}
