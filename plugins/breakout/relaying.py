"""What of somebody's message can be said again in other rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.clock import from_ms
from bot.commands.read import line_of
from bot.matrix.events import Message, RawEvent, mapping
from bot.matrix.ids import EventId, RoomId, UserId
from bot.message.doc import Relayed

_WORDS = ("m.text", "m.notice", "m.emote")
_SHOWN = ("m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start")


@dataclass(frozen=True, slots=True)
class Words:
    """Somebody's own words, said again with the name of who wrote them."""

    by: UserId
    text: Relayed


@dataclass(frozen=True, slots=True)
class Copy:
    """An image, a file, a poll: sent again as it is, pinging nobody, standing in no thread."""

    by: UserId
    type: str
    content: Mapping[str, Any]

    @property
    def is_encrypted_file(self) -> bool:
        """Whether it carries the key of an attachment (client-server API, "Sending encrypted attachments")."""
        return isinstance(self.content.get("file"), Mapping) or _bears_key(self.content)


def _bears_key(value: object) -> bool:
    """Whether a key stands anywhere in it: of a thumbnail (`info.thumbnail_file`), of one picture of many."""
    if isinstance(value, Mapping):
        return isinstance(value.get("key"), Mapping) or any(map(_bears_key, value.values()))
    return isinstance(value, list) and any(map(_bears_key, value))


def to_relay(event: RawEvent) -> Words | Copy | None:
    """What to say of `event`; None where there is nothing that others could read.

    A redacted message is empty, one that cannot be decrypted too, and a state event is no message.
    """
    type_, content, sender = event.get("type"), mapping(event.get("content")), UserId(str(event.get("sender")))
    if not content or "state_key" in event:
        return None
    if type_ in _SHOWN:
        return _copy(sender, str(type_), content)
    msgtype, body = content.get("msgtype"), content.get("body")
    if type_ != "m.room.message" or not (isinstance(msgtype, str) and isinstance(body, str)):
        return None
    if msgtype not in _WORDS:
        return _copy(sender, type_, content)
    text = _words(sender, msgtype, body, content)
    return Words(sender, text) if text.plain.strip() else None


def _copy(sender: UserId, type_: str, content: Mapping[str, Any]) -> Copy:
    kept = {key: value for key, value in content.items() if key != "m.relates_to"}
    return Copy(sender, type_, {**kept, "m.mentions": {}})


def _words(sender: UserId, msgtype: str, body: str, content: Mapping[str, Any]) -> Relayed:
    html = content.get("formatted_body") if content.get("format") == "org.matrix.custom.html" else None
    is_reply = "m.in_reply_to" in mapping(content.get("m.relates_to"))
    message = Message(
        EventId(""),
        RoomId(""),
        sender,
        from_ms(0),
        msgtype,
        body,
        html if isinstance(html, str) else None,
        reply_to=EventId("") if is_reply else None,
    )
    line = line_of(message)
    return Relayed(line.text, line.html)
