"""What a message says, as a value: paragraphs and lists of text, names and links, without any markup yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bot.matrix.ids import EventId, RoomId, UserId


@dataclass(frozen=True, slots=True)
class Text:
    """Plain words, escaped when rendered."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """Words that stand out."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Something to type."""

    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """A person by display name, as plain text: never a pill, never a ping."""

    text: str


@dataclass(frozen=True, slots=True)
class Mention:
    """A person to ping: a pill, and an entry in `m.mentions.user_ids`."""

    user: UserId
    text: str


@dataclass(frozen=True, slots=True)
class RoomLink:
    """A link that opens a room (or one event in it), shown as `text`."""

    room: RoomId
    text: str
    via: tuple[str, ...] = ()
    event: EventId | None = None


@dataclass(frozen=True, slots=True)
class Relayed:
    """Somebody's own words with their formatting: `html` is sanitised by the renderer, mentions in it never ping."""

    plain: str
    html: str | None = None


Inline: TypeAlias = Text | Strong | Code | Name | Mention | RoomLink | Relayed


@dataclass(frozen=True, slots=True)
class Para:
    """One paragraph."""

    parts: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list, one item a line."""

    items: tuple[Para, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """Somebody's words, set apart."""

    paras: tuple[Para, ...]


Block: TypeAlias = Para | Bullets | Quote


@dataclass(frozen=True, slots=True)
class Doc:
    """A whole message.

    `loud`: `m.text`, else `m.notice`, which never pings. `ping_room`: `m.mentions.room`. `pings`: people in
    `m.mentions.user_ids` besides those whom a `Mention` shows, where their pills would be too many.
    `keycaps`: reactions that the bot seeds under the message, in order.
    """

    blocks: tuple[Block, ...]
    loud: bool = False
    ping_room: bool = False
    keycaps: tuple[str, ...] = field(default=())
    pings: tuple[UserId, ...] = ()

    def __add__(self, other: Doc) -> Doc:
        """Both, one after the other; loud if one is."""
        return Doc(
            self.blocks + other.blocks,
            self.loud or other.loud,
            self.ping_room or other.ping_room,
            self.keycaps + other.keycaps,
            self.pings + other.pings,
        )

    def aloud(self, *, room: bool = False) -> Doc:
        """The same as `m.text`, with `room` pinging everybody in the room."""
        return replace(self, loud=True, ping_room=room)


def doc(*blocks: Block | Iterable[Block]) -> Doc:
    """A quiet message of these blocks, empty ones left out."""
    flat: list[Block] = []
    for block in blocks:
        flat.extend([block] if isinstance(block, Para | Bullets | Quote) else block)
    return Doc(tuple(flat))
