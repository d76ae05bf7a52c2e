"""Names what a request of the client-server API asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

_READS = {
    "state": "state_read",
    "messages": "messages_read",
    "event": "event_read",
    "members": "members_read",
    "joined_members": "members_read",
}


def kind_of(method: str, target: str, body: Any = None) -> str:
    """The kind of a request; `target` is its percent-encoded path, `body` its JSON where it has one.

    Messages are `send_message`, `send_edit`, `send_reaction` or `send:<type>`, states `state:<type>`; what has no
    name of its own is called after the first word of its path.
    """
    parts = [unquote(part) for part in urlsplit(target).path.split("/") if part]
    match parts[3:] or parts[-1:] if parts[1:2] == ["client"] else parts:
        case ["rooms", _, *what]:
            return _in_a_room(method, what, body)
        case ["createRoom", *_]:
            return "create_room"
        case ["user", _, "account_data", *_]:
            return f"account_data_{method.lower()}"
        case ["keys", *verbs]:
            return "_".join(("keys", *verbs))
        case ["room_keys", *_]:
            return f"room_key_{method.lower()}"
        case ["sendToDevice", *_]:
            return "to_device"
        case [first, *_]:
            return first
    return "other"


def _in_a_room(method: str, what: list[str], body: Any) -> str:
    match what:
        case ["send", type_, *_]:
            return _sending(type_, body)
        case ["state", type_, *_] if method == "PUT":
            return f"state:{type_}"
        case [verb, *_]:
            return _READS.get(verb, verb)
    return "other"


def _sending(type_: str, body: Any) -> str:
    if type_ == "m.reaction":
        return "send_reaction"
    if type_ != "m.room.message":
        return f"send:{type_}"
    relation = body.get("m.relates_to") if isinstance(body, Mapping) else None
    replaces = isinstance(relation, Mapping) and relation.get("rel_type") == "m.replace"
    return "send_edit" if replaces else "send_message"
