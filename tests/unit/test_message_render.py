"""What is said becomes text, HTML and mentions, and nobody is pinged by accident."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.matrix.ids import EventId, RoomId, UserId
from bot.message.doc import (
    Bullets,
    Code,
    Doc,
    Mention,
    Name,
    Para,
    Quote,
    Relayed,
    RoomLink,
    Strong,
    Text,
    doc,
)
from bot.message.render import MAX_BYTES, edit_of, fits, render, split

BOB = UserId("@bob:example.org")
ROOM = RoomId("!abc:example.org")
EVENT = EventId("$x")


def para(*parts: Any) -> Para:
    return Para(parts)


def test_plain_words_are_a_notice_without_html() -> None:
    assert render(doc(para(Text("All here & fine.\nReally.")))) == {
        "msgtype": "m.notice",
        "body": "All here & fine.\nReally.",
        "m.mentions": {},
    }


def test_markup_is_escaped_in_every_part() -> None:
    evil = "<img src=x onerror=alert(1)>&"
    content = render(
        doc(para(Text(evil), Strong(evil), Code(evil), Name(evil), Mention(BOB, evil), RoomLink(ROOM, evil)))
    )
    assert "<img" not in content["formatted_body"]
    assert content["formatted_body"].count("&lt;img src=x onerror=alert(1)&gt;&amp;") == 6


def test_a_loud_mention_pings_once_and_is_a_pill() -> None:
    content = render(doc(para(Mention(BOB, "Bob"), Text(" and "), Mention(BOB, "Bob"))).aloud())
    assert content["msgtype"] == "m.text"
    assert content["m.mentions"] == {"user_ids": [BOB]}
    assert content["body"] == "Bob and Bob"
    assert '<a href="https://matrix.to/#/@bob:example.org">Bob</a> and' in content["formatted_body"]


def test_a_quiet_mention_pings_nobody() -> None:
    assert render(doc(para(Mention(BOB, "Bob"))))["m.mentions"] == {}


def test_mentions_in_lists_and_quotes_ping_too() -> None:
    content = render(doc(Bullets((para(Mention(BOB, "Bob")),)), Quote((para(Text("x")),))).aloud())
    assert content["m.mentions"] == {"user_ids": [BOB]}


def test_the_room_is_pinged_only_on_request() -> None:
    assert render(doc(para(Text("@room now"))).aloud())["m.mentions"] == {}
    assert render(doc(para(Text("Back please"))).aloud(room=True))["m.mentions"] == {"room": True}


def test_links_say_where_they_lead_in_plain_text_too() -> None:
    link = RoomLink(ROOM, "Team Alpha", ("example.org",))
    url = "https://matrix.to/#/!abc:example.org?via=example.org"
    assert render(doc(para(Text("Go to "), link)))["body"] == f"Go to Team Alpha: {url}"
    content = render(doc(para(Text("Open "), link, Text(" now."))))
    assert content["body"] == f"Open Team Alpha ({url}) now."
    assert content["formatted_body"] == f'Open <a href="{url}">Team Alpha</a> now.'


def test_blocks_stand_apart_in_text_and_html() -> None:
    content = render(
        doc(
            para(Text("Two rooms:")),
            Bullets((para(Strong("A"), Text(": Ann\nBob")), para(Text("B")))),
            Quote((para(Text("one\ntwo")), para(Text("three")))),
        )
    )
    assert content["body"] == "Two rooms:\n\n- A: Ann\n  Bob\n- B\n\n> one\n> two\n> three"
    assert content["formatted_body"] == (
        "<p>Two rooms:</p><ul><li><strong>A</strong>: Ann<br>Bob</li><li>B</li></ul>"
        "<blockquote><p>one<br>two</p><p>three</p></blockquote>"
    )


def test_empty_blocks_leave_no_trace() -> None:
    assert render(doc(para(), Bullets(()), para(Text("x"))))["body"] == "x"


def test_names_cannot_turn_around_or_tear_apart_what_stands_beside_them() -> None:
    assert render(doc(para(Name("\u202eBob\n\nSmith\u2066"), Text("!"))))["body"] == "Bob Smith!"
    assert render(doc(para(Mention(BOB, "\u200b"))))["body"] == BOB


def test_relayed_html_keeps_its_formatting_and_loses_what_is_not_allowed() -> None:
    html = '<script>x</script><b onclick="x">hi</b> <a href="javascript:x">j</a> <a href="https://a.example">k</a>'
    content = render(doc(para(Name("Carol"), Text(": "), Relayed("hi j k", html))))
    assert content["formatted_body"] == 'Carol: <b>hi</b> j <a href="https://a.example">k</a>'
    assert content["body"] == "Carol: hi j k"


def test_relayed_pills_of_people_become_plain_names() -> None:
    html = (
        '<a href="https://matrix.to/#/%40bob%3Aexample.org">Bob</a>'
        ' <a href="matrix:u/bob:example.org">Bobby</a>'
        ' <a href="https://matrix.to/#/!abc:example.org">Room</a> @room'
    )
    content = render(doc(para(Relayed("…", html))).aloud())
    assert content["formatted_body"] == 'Bob Bobby <a href="https://matrix.to/#/!abc:example.org">Room</a> @room'
    assert content["m.mentions"] == {}


def test_relayed_pictures_come_from_matrix_only() -> None:
    content = render(doc(para(Relayed("…", '<img src="https://a.example/t.gif"><img src="mxc://a/b">'))))
    assert content["formatted_body"] == '<img><img src="mxc://a/b">'


def test_the_quote_of_a_relayed_reply_is_left_out() -> None:
    html = "<mx-reply><blockquote>secret</blockquote></mx-reply><b>hi</b>"
    assert render(doc(para(Relayed("hi", html))))["formatted_body"] == "<b>hi</b>"


def test_relayed_blocks_do_not_stand_in_a_paragraph() -> None:
    content = render(doc(para(Text("Carol: "), Relayed("a", "<p>a</p>")), para(Text("end"))))
    assert content["formatted_body"] == "<div>Carol: <p>a</p></div><p>end</p>"


def test_an_edit_pings_nobody_and_carries_its_text_once() -> None:
    new = render(doc(para(Mention(BOB, "Bob"), Text("x" * 1000))).aloud())
    edit = edit_of(new, EVENT)
    assert edit["m.new_content"] == new
    assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": EVENT}
    assert edit["m.mentions"] == {}
    assert len(edit["body"]) < 600


def test_a_long_list_is_split_between_items_and_nothing_is_lost() -> None:
    items = tuple(para(Text(f"{number} " + "ä" * 500)) for number in range(200))
    long = Doc((para(Text("head")), Bullets(items)), loud=True, ping_room=True, keycaps=("1️⃣",))
    assert not fits(long)
    pieces = split(long)
    assert all(fits(piece) for piece in pieces)
    assert [piece.ping_room for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [piece.keycaps for piece in pieces] == [()] * (len(pieces) - 1) + [("1️⃣",)]
    said = [item for piece in pieces for block in piece.blocks if isinstance(block, Bullets) for item in block.items]
    assert tuple(said) == items


def test_one_long_text_is_split_between_words() -> None:
    text = "word " * 20_000
    pieces = split(doc(Quote((para(Relayed(text, f"<b>{text}</b>")),))))
    assert all(fits(piece) for piece in pieces)
    plain = [part.plain for piece in pieces for part in piece.blocks[0].paras[0].parts]  # type: ignore[union-attr]
    assert "".join(plain) == text
    assert not any(piece.startswith("ord") for piece in plain)


TEXTS = st.text(st.characters(codec=None), max_size=30)
PARTS = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Strong, TEXTS),
    st.builds(Code, TEXTS),
    st.builds(Name, TEXTS),
    st.builds(Mention, st.just(BOB), TEXTS),
    st.builds(RoomLink, st.just(ROOM), TEXTS),
    st.builds(Relayed, TEXTS, st.none() | TEXTS | TEXTS.map(lambda text: f"<p><b>{text}</div><a href='{text}'>")),
)
PARAS = st.builds(Para, st.lists(PARTS, max_size=4).map(tuple))
MANY = st.lists(PARAS, max_size=3).map(tuple)
DOCS = st.builds(
    Doc,
    st.lists(PARAS | st.builds(Bullets, MANY) | st.builds(Quote, MANY), max_size=4).map(tuple),
    loud=st.booleans(),
)


class Tags(HTMLParser):
    """Collects the names of the tags, and checks that they are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert all(name == "href" for name, _ in attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(DOCS)
def test_whatever_is_said_is_valid_json_of_balanced_allowed_html(said: Doc) -> None:
    content = render(said)
    assert len(json.dumps(content, ensure_ascii=False).encode()) <= MAX_BYTES
    assert "m.mentions" in content
    tags = Tags()
    tags.feed(content.get("formatted_body", ""))
    tags.close()
    assert not tags.open
    assert tags.seen <= {"p", "div", "b", "strong", "code", "a", "ul", "li", "blockquote", "br"}


@given(DOCS)
def test_every_piece_of_a_split_message_is_part_of_the_whole(said: Doc) -> None:
    assert [b for piece in split(said) for b in piece.blocks] == list(said.blocks)
