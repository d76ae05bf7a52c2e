"""What a message reads since it was edited (client-server API, "Event replacements")."""

from __future__ import annotations

from collections.abc import Iterable

from bot.matrix.events import Content, RawEvent, mapping


def bundled(event: RawEvent) -> RawEvent | None:
    """The newest edit that the homeserver told with an event; None where it told none, or not the whole of it."""
    edit = mapping(mapping(mapping(event.get("unsigned")).get("m.relations")).get("m.replace"))
    return edit if isinstance(edit.get("content"), dict) else None


def can_be_edited(event: RawEvent) -> bool:
    """Whether an edit of it would count: a redacted message, a state event and an edit have none."""
    return bool(event.get("content")) and "state_key" not in event and _replaces(event) is None


def edited(event: RawEvent, edits: Iterable[RawEvent]) -> RawEvent:
    """The event as it reads since the first of these edits of it that counts; the newest comes first.

    Where that cannot be decrypted the event cannot either: what it read before is not what its sender says now.
    """
    for edit in edits:
        if edit.get("sender") != event.get("sender") or _replaces(edit) != event.get("event_id") or "state_key" in edit:
            continue
        if edit.get("type") == "m.room.encrypted":
            return {**event, "type": edit["type"], "content": edit["content"]}
        new: Content = edit["content"].get("m.new_content")
        if edit.get("type") == event.get("type") and isinstance(new, dict):
            return {**event, "content": new}
    return event


def _replaces(event: RawEvent) -> object:
    relation = mapping(mapping(event.get("content")).get("m.relates_to"))
    return relation.get("event_id") if relation.get("rel_type") == "m.replace" else None
