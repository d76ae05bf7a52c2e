"""What clients send is read as the words that people meant."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.read import html_after, line_of
from bot.commands.words import Line
from bot.matrix.events import Message
from bot.matrix.ids import EventId, RoomId, UserId

SAMPLES = sorted((Path(__file__).parent.parent / "data" / "client_events").glob("*.json"))
ANN = "@ann:example.org"


def message(body: str, html: str | None = None, *, reply: bool = False) -> Message:
    return Message(
        event_id=EventId("$e"),
        room=RoomId("!r:example.org"),
        sender=UserId("@carol:example.org"),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        msgtype="m.text",
        body=body,
        html=html,
        reply_to=EventId("$q") if reply else None,
    )


def read(body: str, html: str | None = None, *, reply: bool = False) -> Line:
    return line_of(message(body, html, reply=reply))


def texts(line: Line) -> list[str]:
    return [word.text for word in line.words]


def test_words_know_their_places() -> None:
    line = read("!breakout  tell Alpha\nhello there")
    assert texts(line) == ["!breakout", "tell", "Alpha", "hello", "there"]
    assert [word.row for word in line.words] == [0, 0, 0, 1, 1]
    assert line.after(3).rest == "hello there"
    assert all(line.text[word.start : word.end] == word.text for word in line.words)


@pytest.mark.parametrize(
    "space",
    ["\u00a0", "\u2009", "\u202f", "\u3000", "\u200b", "\ufeff", "\t", "\u200e "],
)
def test_every_kind_of_space_parts_words(space: str) -> None:
    assert texts(read(f"{space}!breakout{space}start{space}20m{space}")) == ["!breakout", "start", "20m"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("\u2014now", "--now"),
        ("\u2013now", "-now"),
        ("\u2212now", "-now"),
        ("\u2011now", "-now"),
        ("O\u2019Neil", "O'Neil"),
        ("\uff01help", "!help"),
    ],
)
def test_what_phones_write_becomes_what_people_mean(typed: str, meant: str) -> None:
    line = read(typed)
    assert texts(line) == [meant]
    assert line.rest == typed


@pytest.mark.parametrize("quotes", ['""', "“”", "„“", "«»", "‘’", "''"])
def test_a_quoted_span_is_one_word(quotes: str) -> None:
    line = read(f"rename {quotes[0]}Team Alpha{quotes[1]}: x")
    assert texts(line) == ["rename", "Team Alpha", ":", "x"]
    word = line.words[1]
    assert word.quoted
    assert line.text[word.start : word.end] == f"{quotes[0]}Team Alpha{quotes[1]}"


def test_french_quotes_lose_their_inner_spaces() -> None:
    assert texts(read("«\u00a0Team Alpha\u00a0»")) == ["Team Alpha"]


def test_quotes_may_follow_a_comma_at_once() -> None:
    assert texts(read('setup "Team A","Team B"')) == ["setup", "Team A", ",", "Team B"]
    assert texts(read('Alpha:"x y"')) == ["Alpha:", "x y"]


@pytest.mark.parametrize(
    "text", ["don't say it isn't", 'a 5" pipe and', "'tis the season's", 'say "hello', "rock'n'roll x"]
)
def test_apostrophes_and_lone_quotes_quote_nothing(text: str) -> None:
    assert not any(word.quoted for word in read(text).words)
    assert texts(read(text)) == text.split()


def test_curly_quotes_in_free_text_stay_as_typed() -> None:
    line = read("!breakout broadcast Say “hi” — it’s time")
    assert line.after(2).rest == "Say “hi” — it’s time"


@pytest.mark.parametrize(
    "url",
    [
        "https://matrix.to/#/@ann:example.org",
        "https://matrix.to/#/%40ann%3Aexample.org",
        "https://matrix.to/#/@ann:example.org?via=x",
        "matrix:u/ann:example.org",
    ],
)
def test_a_pill_stands_as_the_id_of_its_person(url: str) -> None:
    line = read("!breakout assign Ann Smith to Alpha", f'!breakout assign <a href="{url}">Ann Smith</a>: to Alpha')
    assert texts(line) == ["!breakout", "assign", ANN, ":", "to", "Alpha"]
    assert [word.user for word in line.words] == [None, None, ANN, None, None, None]
    assert line.after(2).rest == f"{ANN}: to Alpha"


def test_pills_side_by_side_are_two_words() -> None:
    pill = '<a href="https://matrix.to/#/@{0}:example.org">{0}</a>'
    assert texts(read("", pill.format("ann") + pill.format("bob"))) == [ANN, "@bob:example.org"]


def test_a_room_pill_stands_as_the_id_of_its_room() -> None:
    line = read("", 'tell <a href="https://matrix.to/#/!a%3Aexample.org?via=example.org">Alpha</a> hi')
    assert line.words[1].room == "!a:example.org"
    assert line.words[1].user is None


def test_another_link_is_its_text() -> None:
    assert texts(read("", 'see <a href="https://a.example">the page</a>')) == ["see", "the", "page"]


@pytest.mark.parametrize(
    "typed",
    [
        ANN,
        f"{ANN},",
        f"{ANN}:",
        f"{ANN}.",
        "https://matrix.to/#/@ann:example.org,",
        "matrix:u/ann:example.org",
    ],
)
def test_an_id_or_link_as_text_names_its_person(typed: str) -> None:
    word = read(typed).words[0]
    assert (word.text, word.user) == (ANN, ANN)


@pytest.mark.parametrize("typed", ["@ann:localhost:8008", "@ann:[::1]:8448", "@ann:10.0.0.1"])
def test_servers_may_have_ports_and_addresses(typed: str) -> None:
    assert read(typed).words[0].user == typed


@pytest.mark.parametrize("typed", ["@ann", "ann@example.org", "12:30", "Alpha:", "@", "@:x"])
def test_what_only_looks_like_an_id_is_a_word(typed: str) -> None:
    assert read(typed).words[0].user is None
    assert texts(read(typed)) == [typed]


@pytest.mark.parametrize(
    "html",
    [
        f"!breakout setup manual<br>Alpha: {ANN}<br/>Beta:",
        f"<p>!breakout setup manual</p>\n<p>Alpha: {ANN}</p>\n<p>Beta:</p>",
        f"<p>!breakout setup manual</p><ul><li>Alpha: {ANN}</li><li>Beta:</li></ul>",
        f"<div>!breakout setup manual</div><div>Alpha: {ANN}</div><div>Beta:</div>",
        f"!breakout setup manual\nAlpha: {ANN}\nBeta:",
        f"<pre><code>!breakout setup manual\nAlpha: {ANN}\nBeta:</code></pre>",
    ],
)
def test_line_breaks_of_every_kind_make_rows(html: str) -> None:
    line = read("", html)
    assert line.text == f"!breakout setup manual\nAlpha: {ANN}\nBeta:"
    assert [word.row for word in line.words] == [0, 0, 0, 1, 1, 2]


def test_formatting_is_only_text_and_entities_are_characters() -> None:
    line = read("", "<p><code>!breakout</code> <em>te</em>ll&nbsp;Alpha &lt;b&gt; &amp; &quot;Team <b>B</b>&quot;</p>")
    assert texts(line) == ["!breakout", "tell", "Alpha", "<b>", "&", "Team B"]


def test_html_without_text_gives_way_to_the_body() -> None:
    assert texts(read("!breakout status", "<p></p>")) == ["!breakout", "status"]


def test_the_quote_of_a_reply_is_taken_off() -> None:
    body = "> <@ann:example.org> !breakout end\n> now\n\n!breakout broadcast"
    html = "<mx-reply><blockquote>In reply: !breakout end</blockquote></mx-reply>!breakout broadcast"
    assert texts(read(body, reply=True)) == ["!breakout", "broadcast"]
    assert texts(read(body, html, reply=True)) == ["!breakout", "broadcast"]


def test_what_somebody_quotes_without_replying_is_no_command() -> None:
    assert texts(read("> !breakout end"))[0] == ">"


def test_formatted_text_is_handed_on_from_a_place_on() -> None:
    html = "<p>!breakout broadcast <b>Hello <i>you</i></b> &amp; all</p><p>See <a href='https://a.example'>it</a></p>"
    line = read("", html)
    assert line.after(2).rest == "Hello you & all\nSee it"
    assert html_after(line, line.words[2].start) == (
        '<p><b>Hello <i>you</i></b> &amp; all</p><p>See <a href="https://a.example">it</a></p>'
    )
    assert html_after(line, line.words[3].start) == (
        '<p><b><i>you</i></b> &amp; all</p><p>See <a href="https://a.example">it</a></p>'
    )


def test_formatted_text_may_begin_with_a_pill_or_after_a_line_break() -> None:
    pill = '<a href="https://matrix.to/#/@ann:example.org">Ann</a>'
    line = read("", f"!breakout broadcast {pill} hi")
    assert html_after(line, line.words[2].start) == f"{pill} hi"
    line = read("", "!breakout broadcast<br>one<br>two")
    assert html_after(line, line.words[2].start) == "one<br>two"


def test_without_html_there_is_none_to_hand_on() -> None:
    assert html_after(read("!breakout broadcast hi"), 20) is None


@pytest.mark.skipif(not SAMPLES, reason="no samples of clients' events")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_every_client_sample_reads_as_its_text(sample: Path) -> None:
    expected = json.loads(sample.read_text())
    content: dict[str, Any] = expected["event"]["content"]
    reply = content.get("m.relates_to", {}).get("m.in_reply_to")
    line = read(content["body"], content.get("formatted_body"), reply=reply is not None)
    assert line.text.split() == expected["text"].split()


ANYTHING = st.text(st.characters(codec=None))
PIECES = (
    "<p>|</p>|<br>|<b>|</b>|<a href='matrix:u/a:b'>|</a>|<mx-reply>|</mx-reply>|<ul><li>|<pre>|<img alt=x>"
    "|<![|<!--|&|&#x;|&amp;|'|\"|,|\ud800|\n| "
)
MARKUP = st.lists(st.sampled_from(PIECES.split("|")) | ANYTHING).map("".join)


@given(ANYTHING | MARKUP, st.none() | ANYTHING | MARKUP, st.booleans(), st.integers(0, 50))
def test_no_message_is_too_strange_to_be_read(body: str, html: str | None, reply: bool, start: int) -> None:
    line = read(body, html, reply=reply)
    html_after(line, start)
    position = 0
    for word in line.words:
        assert position <= word.start < word.end <= len(line.text)
        assert word.row == line.text.count("\n", 0, word.start)
        position = word.end


@given(MARKUP)
def test_html_kept_from_the_beginning_reads_as_the_whole(html: str) -> None:
    line = read("", html)
    if line.words and line.html:
        again = read("", html_after(line, line.words[0].start))
        assert [word.text for word in again.words] == [word.text for word in line.words]


@pytest.mark.parametrize("text", ["'a " * 20_000, '"a ' * 20_000, "@a:" * 20_000, ",'" * 20_000, "a" * 60_000])
@pytest.mark.timeout(5)
def test_long_strange_lines_are_read_in_no_time(text: str) -> None:
    assert read(text).words
