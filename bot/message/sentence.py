"""Sentences from the gettext catalogue, with values put in as parts, never as markup."""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from typing import Protocol

from bot.message.doc import Code, Inline, Mention, Name, Para, Relayed, RoomLink, Strong, Text

_TOKEN = re.compile(r"\*\*(?P<strong>.+?)\*\*|`(?P<code>[^`]+)`|\{(?P<field>\w+)\}")

Value = str | int | Inline | tuple[Inline, ...]


class Say(Protocol):
    """Makes a sentence of a template; `pybabel extract` knows it by the name `say`."""

    def __call__(self, template: str, /, **values: Value) -> Para: ...


class Catalogue:
    """One gettext domain. In a template, `{name}` takes a value, `**…**` is strong and `` `…` `` is to be typed.

    Values are escaped later by the renderer: markup in them stays text. A field in strong or code is put in as text.
    """

    def __init__(self, translations: gettext.NullTranslations | None = None) -> None:
        self._translations = translations or gettext.NullTranslations()

    def say(self, template: str, /, **values: Value) -> Para:
        """The sentence `template`, translated, with `values` in its fields."""
        return Para(tuple(_parts(self._translations.gettext(template), values)))

    def say_n(self, one: str, many: str, count: int, /, **values: Value) -> Para:
        """The sentence for `count` things; `{count}` is its number."""
        template = self._translations.ngettext(one, many, count)
        return Para(tuple(_parts(template, {"count": count, **values})))

    def text(self, template: str, /, **values: str | int) -> str:
        """A translated text without parts: room names, topics, reasons."""
        return self._translations.gettext(template).format(**values)

    def text_n(self, one: str, many: str, count: int, /, **values: str | int) -> str:
        """The text for `count` things."""
        return self._translations.ngettext(one, many, count).format(count=count, **values)


def _parts(template: str, values: dict[str, Value]) -> Iterator[Inline]:
    position = 0
    for token in _TOKEN.finditer(template):
        if token.start() > position:
            yield Text(template[position : token.start()])
        position = token.end()
        if token["strong"] is not None:
            yield Strong(_filled(token["strong"], values))
        elif token["code"] is not None:
            yield Code(_filled(token["code"], values))
        else:
            yield from _inlines(values[token["field"]])
    if position < len(template):
        yield Text(template[position:])


def _inlines(value: Value) -> Iterator[Inline]:
    if isinstance(value, tuple):
        yield from value
    elif isinstance(value, str | int):
        yield Text(str(value))
    else:
        yield value


def _filled(text: str, values: dict[str, Value]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: plain(_inlines(values[match[1]])), text)


def plain(parts: Iterator[Inline] | tuple[Inline, ...]) -> str:
    """The parts as one plain text."""
    texts: list[str] = []
    for part in parts:
        match part:
            case Text(text) | Strong(text) | Code(text) | Name(text) | Mention(_, text) | RoomLink(_, text):
                texts.append(text)
            case Relayed(text, _):
                texts.append(text)
    return "".join(texts)
