"""The HTML that Matrix allows in messages, and nothing else of what people send."""

from __future__ import annotations

import re

import nh3

from bot.matrix.ids import linked_id

_TAGS = frozenset(
    {
        "a",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "del",
        "details",
        "div",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
    }
    | {
        "h6",
        "hr",
        "i",
        "img",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
    }
    | {"tbody", "td", "th", "thead", "tr", "u", "ul"}
)
"""Client-server API, section "m.room.message msgtypes", table of recommended tags."""

_GONE = {"mx-reply", "script", "style", "title", "textarea"}
_ATTRIBUTES = {
    "a": {"href"},
    "code": {"class"},
    "div": {"data-mx-maths"},
    "img": {"alt", "height", "src", "title", "width"},
    "ol": {"start"},
    "span": {"data-mx-bg-color", "data-mx-color", "data-mx-maths", "data-mx-spoiler"},
}
_LINKS = ("https:", "http:", "ftp:", "mailto:", "magnet:")
_UNLINKED = re.compile(r"<a>(.*?)</a>", re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def scrubbed(text: str) -> str:
    """The text without lone surrogates, which JSON may carry and UTF-8 may not."""
    return _SURROGATE.sub("\ufffd", text)


def cleaned(html: str) -> str:
    """Somebody's HTML, well-formed: allowed tags only, all kinds of links, the quote of a reply left out."""
    return _READABLE.clean(scrubbed(html))


def relayable(html: str) -> str:
    """Somebody's HTML as we may send it on: as `cleaned`, and links to people are their plain names."""
    return _UNLINKED.sub(r"\1", _RELAYED.clean(scrubbed(html)))


def _relayed(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "src" and not value.startswith("mxc://"):
        return None
    if attribute == "href" and (linked_id(value) or "").startswith("@"):
        return None
    if attribute == "href" and not value.lower().startswith(_LINKS):
        return None
    if tag == "code" and not value.startswith("language-"):
        return None
    return value


_READABLE = nh3.Cleaner(
    tags=set(_TAGS),
    clean_content_tags=_GONE,
    attributes=_ATTRIBUTES,
    link_rel=None,
    url_schemes={"https", "http", "ftp", "mailto", "magnet", "mxc", "matrix"},
    url_relative="deny",
)
_RELAYED = nh3.Cleaner(
    tags=set(_TAGS),
    clean_content_tags=_GONE,
    attributes=_ATTRIBUTES,
    attribute_filter=_relayed,
    link_rel=None,
    url_schemes={"https", "http", "ftp", "mailto", "magnet", "mxc"},
    url_relative="deny",
)
