"""From what a message says to what is sent: plain text, HTML and mentions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape
from typing import Any, TypeVar

from bot.matrix.ids import EventId, room_link, user_link
from bot.message.allowed import relayable, scrubbed
from bot.message.doc import (
    Block,
    Bullets,
    Code,
    Doc,
    Inline,
    Mention,
    Name,
    Para,
    Quote,
    Relayed,
    RoomLink,
    Strong,
    Text,
)

T = TypeVar("T")

MAX_BYTES = 40_000
"""The most that one rendered message may weigh: events end at 65 536 bytes, and encryption adds a third."""

_FALLBACK = 500
"""Characters of text that an edit shows to clients that know no edits."""

_BLOCKS = re.compile(r"<(?:blockquote|details|div|h[1-6]|hr|ol|p|pre|table|ul)\b")
_UNSEEN = re.compile("[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\\s]+")
"""Breaks and marks of direction: in a name they would turn around or tear apart what stands beside it."""


def render(doc: Doc) -> dict[str, Any]:
    """The content of an `m.room.message`.

    `m.mentions` is always there, so that no name or `@room` in a text pings: people are pinged by `Mention` or
    `pings` in a loud message only. `formatted_body` is left out where it would say no more than `body`.
    """
    body = "\n\n".join(_plain_block(block) for block in doc.blocks if not _empty(block))
    content: dict[str, Any] = {"msgtype": "m.text" if doc.loud else "m.notice", "body": body}
    html = _html(doc)
    if html != _escaped(body):
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    mentions: dict[str, Any] = {}
    users = dict.fromkeys([*(part.user for part in _parts(doc) if isinstance(part, Mention)), *doc.pings])
    if doc.loud and users:
        mentions["user_ids"] = list(users)
    if doc.ping_room:
        mentions["room"] = True
    return content | {"m.mentions": mentions}


def edit_of(content: dict[str, Any], event: EventId) -> dict[str, Any]:
    """The content that lets the message `event` read as the rendered `content`; an edit pings nobody.

    What old clients show instead is cut short, as the text would otherwise count twice towards the limit.
    """
    return {
        "msgtype": content["msgtype"],
        "body": f"* {content['body'][:_FALLBACK]}",
        "m.mentions": {},
        "m.new_content": content,
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }


def fits(doc: Doc) -> bool:
    """Whether the rendered message is small enough for one event."""
    return len(json.dumps(render(doc), ensure_ascii=False).encode()) <= MAX_BYTES


def split(doc: Doc) -> tuple[Doc, ...]:
    """The message as several that fit, cut between blocks, else items, else words.

    The first of them pings the room and `pings`, the last one carries the reactions. A single text that is too long
    loses its formatting.
    """
    if fits(doc):
        return (doc,)
    halves = _halves(doc.blocks)
    if halves is None:
        return (doc,)
    first, second = halves
    return split(replace(doc, blocks=first, keycaps=())) + split(replace(doc, blocks=second, ping_room=False, pings=()))


def _halves(blocks: tuple[Block, ...]) -> tuple[tuple[Block, ...], tuple[Block, ...]] | None:
    if len(blocks) != 1:
        return _middle(blocks)
    block, paras = blocks[0], _paras(blocks[0])
    halves = _middle(paras) if len(paras) != 1 else _halves_of_para(paras[0])
    return halves and (_like(block, halves[0]), _like(block, halves[1]))


def _halves_of_para(para: Para) -> tuple[tuple[Para, ...], tuple[Para, ...]] | None:
    if len(para.parts) != 1:
        parts = _middle(para.parts)
        return parts and ((Para(parts[0]),), (Para(parts[1]),))
    part = para.parts[0]
    text = part.plain if isinstance(part, Relayed) else part.text
    middle = len(text) // 2
    if (space := max(text.rfind("\n", 1, middle), text.rfind(" ", 1, middle))) > 0:
        middle = space
    texts = (text[:middle], text[middle:]) if middle else None
    return texts and ((Para((_with(part, texts[0]),)),), (Para((_with(part, texts[1]),)),))


def _middle(things: tuple[T, ...]) -> tuple[tuple[T, ...], tuple[T, ...]] | None:
    middle = len(things) // 2
    return (things[:middle], things[middle:]) if middle else None


def _like(block: Block, paras: tuple[Para, ...]) -> tuple[Block, ...]:
    match block:
        case Para():
            return paras
        case Bullets():
            return (Bullets(paras),)
        case Quote():
            return (Quote(paras),)


def _with(part: Inline, text: str) -> Inline:
    return Relayed(text) if isinstance(part, Relayed) else replace(part, text=text)


def _parts(doc: Doc) -> list[Inline]:
    return [part for block in doc.blocks for para in _paras(block) for part in para.parts]


def _paras(block: Block) -> tuple[Para, ...]:
    match block:
        case Para():
            return (block,)
        case Bullets(paras) | Quote(paras):
            return paras


def _empty(block: Block) -> bool:
    return not any(para.parts for para in _paras(block))


def _plain_block(block: Block) -> str:
    match block:
        case Para():
            return _plain(block)
        case Bullets(items):
            return "\n".join("- " + _plain(item).replace("\n", "\n  ") for item in items)
        case Quote(paras):
            return "\n".join("> " + line for para in paras for line in _plain(para).split("\n"))


def _plain(para: Para) -> str:
    last = len(para.parts) - 1
    return "".join(_plain_part(part, ends=index == last) for index, part in enumerate(para.parts))


def _plain_part(part: Inline, *, ends: bool) -> str:
    match part:
        case Text(text) | Strong(text) | Code(text):
            return scrubbed(text)
        case Name(text):
            return _name(text)
        case Mention(user, text):
            return _name(text) or user
        case RoomLink(room, text, via, event):
            url = room_link(room, via, event)
            return f"{_name(text)}: {url}" if ends else f"{_name(text)} ({url})"
        case Relayed(plain):
            return scrubbed(plain)


def _html(doc: Doc) -> str:
    blocks = [block for block in doc.blocks if not _empty(block)]
    if len(blocks) == 1 and isinstance(blocks[0], Para):
        return _inline(blocks[0])
    return "".join(_html_block(block) for block in blocks)


def _html_block(block: Block) -> str:
    match block:
        case Para():
            return _paragraph(block)
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        case Quote(paras):
            return "<blockquote>" + "".join(map(_paragraph, paras)) + "</blockquote>"


def _paragraph(para: Para) -> str:
    inner = _inline(para)
    tag = "div" if _BLOCKS.search(inner) else "p"  # no block may stand inside of a <p>
    return f"<{tag}>{inner}</{tag}>"


def _inline(para: Para) -> str:
    return "".join(map(_html_part, para.parts))


def _html_part(part: Inline) -> str:
    match part:
        case Text(text):
            return _escaped(text)
        case Strong(text):
            return f"<strong>{_escaped(text)}</strong>"
        case Code(text):
            return f"<code>{_escaped(text)}</code>"
        case Name(text):
            return _escaped(_name(text))
        case Mention(user, text):
            return _link(user_link(user), _name(text) or user)
        case RoomLink(room, text, via, event):
            return _link(room_link(room, via, event), _name(text))
        case Relayed(plain, html):
            return _escaped(plain) if html is None else relayable(html)


def _link(url: str, text: str) -> str:
    return f'<a href="{escape(url)}">{_escaped(text)}</a>'


def _escaped(text: str) -> str:
    return escape(scrubbed(text), quote=False).replace("\n", "<br>")


def _name(text: str) -> str:
    return _UNSEEN.sub(" ", scrubbed(text)).strip()
