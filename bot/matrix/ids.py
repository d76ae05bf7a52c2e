"""Matrix identifiers as types, and the links that open them."""

from __future__ import annotations

import re
from typing import NewType
from urllib.parse import quote, unquote

UserId = NewType("UserId", str)
RoomId = NewType("RoomId", str)
EventId = NewType("EventId", str)

MAX_ID_BYTES = 255
"""The longest identifier (Matrix specification, appendix "Identifier grammar")."""

_USER = re.compile(r"@[^\s:]{1,254}:[^\s]+")
_ROOM = re.compile(r"![^\s]+")
_MATRIX_TO = re.compile(r"https?://matrix\.to/#/([^/?]+)", re.IGNORECASE)
_MATRIX_URI = re.compile(r"matrix:(u|user|roomid)/([^/?]+)", re.IGNORECASE)


def user_id(text: str) -> UserId:
    """Return `text` as a user id, or raise `ValueError` where it is none."""
    if not _USER.fullmatch(text) or len(text.encode()) > MAX_ID_BYTES:
        raise ValueError(f"not a Matrix user id: {text!r}")
    return UserId(text)


def room_id(text: str) -> RoomId:
    """Return `text` as a room id, or raise `ValueError` where it is none (version 12 ids have no server part)."""
    if not _ROOM.fullmatch(text) or len(text.encode()) > MAX_ID_BYTES:
        raise ValueError(f"not a Matrix room id: {text!r}")
    return RoomId(text)


def server_of(identifier: str) -> str:
    """The server part of a user or room id; empty where it has none."""
    return identifier.partition(":")[2]


def localpart_of(user: UserId) -> str:
    """The part of a user id between `@` and the first colon."""
    return user[1:].partition(":")[0]


def linked_id(url: str) -> UserId | RoomId | None:
    """The user or room that a `matrix.to` link or a `matrix:` URI names (MSC1849 pills, MSC2312), else None."""
    if match := _MATRIX_TO.match(url.strip()):
        text = unquote(match.group(1))
    elif match := _MATRIX_URI.match(url.strip()):
        sigil = "@" if match.group(1).lower() in ("u", "user") else "!"
        text = sigil + unquote(match.group(2))
    else:
        return None
    try:
        return user_id(text) if text.startswith("@") else room_id(text)
    except ValueError:
        return None


def user_link(user: UserId) -> str:
    """The `matrix.to` link of a user, which clients show as a pill."""
    return f"https://matrix.to/#/{quote(user, safe='@:')}"


def room_link(room: RoomId, via: tuple[str, ...] = (), event: EventId | None = None) -> str:
    """The `matrix.to` link of a room or of one event in it, with the servers to join through."""
    path = quote(room, safe="!:") + (f"/{quote(event, safe='$:')}" if event else "")
    query = "?" + "&".join(f"via={quote(server, safe=':[]')}" for server in via) if via else ""
    return f"https://matrix.to/#/{path}{query}"
