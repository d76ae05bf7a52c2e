"""What hostile people can send: JSON of any shape, events of every kind, and lines that are nearly commands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from plugins.breakout.commands import general  # noqa: F401 - with it all commands are declared
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.model import Phase

PEOPLE = ("ann", "bob", "cleo", "dan", "eve", "gone", "mallory", "out")
"""A moderator, four participants, a demoted moderator, who has a room of their own, and who is only in a breakout room."""

PLACES = ("main", "desk", "red", "green", "own")
"""The rooms of the class, and the one that belongs to Mallory."""


# --- JSON

_ODD = (
    *("", " ", "\n", "\x00", "\ud800", "\udfff\ud800", "@room", "@ann:test", "@breakout:test", "!room1:test", "$event1"),
    *("m.replace", "m.thread", "m.annotation", "join", "leave", "ban", "100", "-1", "nan", "\u202e\u2066", "\ufeff", "̷" * 40),
    *("<b>", "</p>", "'\"`{}%s%n", "{command}", "a" * 300, "é" * 5000, "x " * 5000, "https://matrix.to/#/@ann:test"),
)
_NUMBERS = st.sampled_from(
    (0, -1, 1, 50, 100, 2**31, 2**53, -(2**53), 2**63, 2**64, 10**30, -(10**300), 1.5, 1e308, float("nan"), float("inf"))
)
TEXTS = st.sampled_from(_ODD) | st.text(st.characters(), max_size=30)
_SCALARS = st.none() | st.booleans() | _NUMBERS | TEXTS
_KEYS = st.sampled_from(
    (
        *("body", "msgtype", "event_id", "rel_type", "key", "users", "users_default", "events", "user_ids", "room", "main"),
        *("session", "membership", "displayname", "m.in_reply_to", "m.relates_to", "m.new_content", "m.mentions"),
    )
)
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | TEXTS, inner, max_size=4),
    max_leaves=8,
)


def nested(depth: int) -> Any:
    """Lists and objects in one another."""
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


DEEP = st.sampled_from((90, 130, 200, 260, 400, 600)).map(nested)
WRONG = JSON | DEEP | st.sampled_from((60_000, 20_000)).map("y".__mul__)


@st.composite
def mixed(draw: st.DrawFn, wanted: dict[str, Any], *, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with these fields, some of which are left out or of the wrong kind, and some that nobody asked for."""
    found: dict[str, Any] = {}
    for name, strategy in wanted.items():
        fate = draw(st.integers(0, 9))
        if fate:
            found[name] = draw(WRONG if fate == 1 else strategy)
    for name in more:
        if draw(st.integers(0, 5)) == 0:
            found[name] = draw(WRONG)
    return found
