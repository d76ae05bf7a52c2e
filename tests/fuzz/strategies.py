"""What hostile people can send: JSON of any shape, events of every kind, and lines that are nearly commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from plugins.breakout.commands import general  # noqa: F401 - with it all commands are declared
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.model import Phase

PEOPLE = ("ann", "bob", "cleo", "dan", "eve", "gone", "mallory", "out")
"""A moderator, four participants, a former moderator, the owner of `own`, and somebody only in a breakout room."""

PLACES = ("main", "desk", "red", "green", "own")
"""The rooms of the class, and the one that belongs to Mallory."""


# --- JSON

_ODD = (
    *(
        "",
        " ",
        "\n",
        "\x00",
        "\ud800",
        "\udfff\ud800",
        "@room",
        "@ann:test",
        "@breakout:test",
        "!room1:test",
        "$event1",
    ),
    *(
        "m.replace",
        "m.thread",
        "m.annotation",
        "join",
        "leave",
        "ban",
        "100",
        "-1",
        "nan",
        "\u202e\u2066",
        "\ufeff",
        "̷" * 40,
    ),
    *("<b>", "</p>", "'\"`{}%s%n", "{command}", "a" * 300, "é" * 5000, "x " * 5000, "https://matrix.to/#/@ann:test"),
)
_NUMBERS = st.sampled_from(
    (
        0,
        -1,
        1,
        50,
        100,
        2**31,
        2**53,
        -(2**53),
        2**63,
        2**64,
        10**30,
        -(10**300),
        1.5,
        1e308,
        float("nan"),
        float("inf"),
    )
)
TEXTS = st.sampled_from(_ODD) | st.text(st.characters(), max_size=30)
_SCALARS = st.none() | st.booleans() | _NUMBERS | TEXTS
_KEYS = st.sampled_from(
    (
        *(
            "body",
            "msgtype",
            "event_id",
            "rel_type",
            "key",
            "users",
            "users_default",
            "events",
            "user_ids",
            "room",
            "main",
        ),
        *("session", "membership", "displayname", "m.in_reply_to", "m.relates_to", "m.new_content", "m.mentions"),
    )
)
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | TEXTS, inner, max_size=4),
    max_leaves=8,
)


def nested(depth: int) -> Any:
    """Lists and objects in one another."""
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


DEEP = st.sampled_from((90, 130, 200, 260, 400, 600)).map(nested)
WRONG = JSON | DEEP | st.sampled_from((60_000, 20_000)).map("y".__mul__)


@st.composite
def mixed(draw: st.DrawFn, wanted: dict[str, Any], *, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with these fields, some of which are left out or of the wrong kind, and some that nobody asked for."""
    found: dict[str, Any] = {}
    for name, strategy in wanted.items():
        fate = draw(st.integers(0, 9))
        if fate:
            found[name] = draw(WRONG if fate == 1 else strategy)
    for name in more:
        if draw(st.integers(0, 5)) == 0:
            found[name] = draw(WRONG)
    return found


# --- lines that are nearly commands

_LINES = tuple(
    dict.fromkeys(
        line
        for command in plugin.commands
        for path in (command.path, *command.aliases)
        for line in (
            " ".join(path),
            *command.examples,
            *(f"{' '.join(path)} {usage}".strip() for usage in command.usage),
        )
    )
)
_NAMES = (
    "@ann",
    "@bob",
    "@cleo:test",
    "Dan",
    "eve",
    "@gone",
    "@nobody",
    "Red",
    "Green",
    "all",
    "room 2",
    "#1",
    "\u202eBob",
)
_WORDS = st.sampled_from(
    (
        *(
            "to",
            "now",
            "confirm",
            "cancel",
            "off",
            "all",
            "next",
            "choose",
            "manual",
            "here",
            "everyone",
            "max",
            "max 0",
            ":",
        ),
        *(
            ",",
            "-",
            "--",
            "“",
            "”",
            "'",
            '"',
            "0",
            "-1",
            "4",
            "101",
            "1e9",
            "٣",
            "²",
            "½",
            "9" * 40,
            "1:30",
            "24h",
            "99999999h",
        ),
        *(
            "1h30m",
            "0s",
            "@room",
            "<b>",
            "&lt;",
            "%s",
            "{}",
            "\x00",
            "\u202e",
            "\ud800",
            "́" * 9,
            "to " * 400,
            "@bob " * 200,
        ),
        *(
            "Red:",
            "Red: @bob",
            "\n",
            "\nGreen: @ann",
            "\n\n",
            "> quoted",
            "groups of 4",
            "4 people each",
            "help",
            "!help",
            "!!",
        ),
    )
) | st.text(max_size=12)
_TRADES = (
    *(
        (" ", "\u00a0"),
        (" ", "\n"),
        (" ", "  "),
        (" ", "\u200b "),
        (" ", ""),
        ("!", "! "),
        ("!", "！"),
        ("!", ""),
        ("-", "—"),
    ),
    *(
        ("@", ""),
        ("@", "@@"),
        ("a", "а"),
        ("e", "é"),
        ("o", "O"),
        ("breakout", "bo"),
        ("breakout", "Breakout:"),
        ("2", "２"),
    ),
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    """An example or usage of a command, changed here and there; sometimes any text at all."""
    if draw(st.integers(0, 11)) == 0:
        return draw(TEXTS | st.text(max_size=60))
    words = ["!" + (line := draw(st.sampled_from(_LINES))).split(" ")[0], *line.split(" ")[1:]]
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(words)))
        match draw(st.integers(0, 4)):
            case 0:
                words.insert(max(1, place), draw(_WORDS))
            case 1:
                words.insert(max(1, place), draw(st.sampled_from(_NAMES)))
            case 2 if len(words) > 1:
                words[max(1, place) % len(words)] = draw(_WORDS | st.sampled_from(_NAMES))
            case 3:
                words += words[place:]
            case _:
                del words[place : place + 1]
    line = " ".join(words)
    for _ in range(draw(st.integers(0, 2))):
        line = line.replace(*draw(st.sampled_from(_TRADES)))
    return line


_PERSON = re.compile(r"@(\w+)(?::test)?")
_WRAPPINGS = (
    *(
        "{}",
        "<p>{}</p>",
        "<div><b>{}</b></div>",
        "<ul><li>{}</li><li>{}</li></ul>",
        "<mx-reply><blockquote>x</blockquote></mx-reply>{}",
    ),
    *(
        "<pre><code>{}</code></pre>",
        "<a href='https://matrix.to/#/@bob:test'>{}</a>",
        "<table><tr><td>{}",
        "</p>{}<",
        "<b>" * 3000 + "{}",
    ),
    *(
        "<span data-mx-spoiler>{}</span>",
        "<!-- {} -->",
        "{}<br/>{}",
        "<script>{}</script>",
        "&#0;{}&#xD800;",
        "<blockquote>" * 200 + "{}",
    ),
)
_PILLS = (
    "https://matrix.to/#/{}",
    "matrix:u/{}",
    "https://matrix.to/#/{}/$x?via=a",
    "javascript:{}",
    "https://matrix.to/#/!room1:test?{}",
)


@st.composite
def rich(draw: st.DrawFn, line: str) -> str:
    """The line as a rich editor writes it: pills for people, tags around it."""
    html = escape(line).replace("\n", draw(st.sampled_from(("<br>", "\n", "<p>"))))
    link = draw(st.sampled_from(_PILLS))
    html = _PERSON.sub(lambda m: f'<a href="{escape(link.format(quote(f"@{m[1]}:test")))}">{m[1].title()}</a>', html)
    return draw(st.sampled_from(_WRAPPINGS)).replace("{}", html)


# --- events

_EVENT_IDS = st.integers(1, 90).map("$event{}".format) | TEXTS | st.just("$" + "i" * 3000)
_KEYCAPS = ("✅", "🙋", "✋", "👀", "🔁", "▶", "➕", "⏹", "1⃣", "2️⃣", "3⃣", "🔟", "9⃣", "✅\ufe0f", "")
_RELATIONS = mixed(
    {"rel_type": st.sampled_from(("m.thread", "m.replace", "m.annotation", "m.reference")), "event_id": _EVENT_IDS},
    more=("m.in_reply_to", "is_falling_back", "key"),
) | st.fixed_dictionaries({"m.in_reply_to": st.fixed_dictionaries({"event_id": _EVENT_IDS}) | WRONG})
_MSGTYPES = st.sampled_from((*("m.text",) * 8, "m.notice", "m.emote", "m.image", "m.file", "m.location", "org.x"))


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a message."""
    line = draw(lines())
    content: dict[str, Any] = {"msgtype": "m.text", "body": line}
    if draw(st.integers(0, 2)) == 0:
        content |= {"format": "org.matrix.custom.html", "formatted_body": draw(rich(line))}
    if draw(st.integers(0, 2)) == 0:
        odd = draw(
            mixed(
                {"msgtype": _MSGTYPES, "body": st.just(line), "m.relates_to": _RELATIONS},
                more=("format", "formatted_body", "m.mentions", "m.new_content", "file", "info", "url"),
            )
        )
        content = content | odd if draw(st.booleans()) else odd
    return content


REACTIONS = mixed(
    {
        "m.relates_to": mixed(
            {"rel_type": st.just("m.annotation"), "event_id": _EVENT_IDS, "key": st.sampled_from(_KEYCAPS) | TEXTS}
        )
    }
)
_MARKERS = mixed(
    {
        "main": st.sampled_from(("!room1:test", "!room25", "!room40")) | TEXTS,
        "session": TEXTS,
        "room": st.integers(-1, 3) | st.just("desk"),
        "key": TEXTS,
    }
)
_LEVELS = st.sampled_from((0, 49, 50, 51, 99, 100, 2**70, -1, "50", "100", 50.0, True, None))
_POWER = mixed(
    {
        "users": mixed({f"@{who}:test": _LEVELS for who in PEOPLE}),
        "users_default": _LEVELS,
        "events": mixed({"m.room.message": _LEVELS, "m.reaction": _LEVELS}),
        "invite": _LEVELS,
        "kick": _LEVELS,
    },
    more=("state_default", "ban", "redact", "events_default", "notifications"),
)
STATE: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "m.room.name": mixed({"name": TEXTS}),
    "m.room.topic": mixed({"topic": TEXTS}),
    "m.room.avatar": mixed({"url": TEXTS}),
    "m.room.tombstone": mixed({"replacement_room": st.sampled_from(("!room1:test", "!room25")) | TEXTS, "body": TEXTS}),
    "m.room.encryption": mixed({"algorithm": st.just("m.megolm.v1.aes-sha2") | TEXTS, "rotation_period_ms": _NUMBERS}),
    "m.room.join_rules": mixed({"join_rule": st.sampled_from(("public", "restricted")), "allow": WRONG}),
    "m.room.history_visibility": mixed({"history_visibility": TEXTS}),
    "m.room.power_levels": _POWER,
    "m.room.create": mixed({"room_version": st.sampled_from(("1", "12", "999999", "x")), "additional_creators": WRONG}),
    "m.room.canonical_alias": mixed({"alias": TEXTS}),
    "org.breakoutbot.room": _MARKERS,
    "org.matrix.msc3401.call.member": mixed({"memberships": WRONG}),
    "m.call.member": mixed({"application": WRONG}),
}
_PROFILES = mixed(
    {
        "membership": st.just("join"),
        "displayname": st.sampled_from(("Ann", "all", "Red", "Bob\n\u202e", "N" * 30_000)) | TEXTS,
    },
    more=("avatar_url", "reason", "third_party_invite", "join_authorised_via_users_server"),
)


# --- what somebody does


@dataclass(frozen=True)
class Sends:
    """A message, a reaction, or an event of any other type."""

    who: str
    place: str
    type: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Sets:
    """A state event, where the server allows it."""

    who: str
    place: str
    type: str
    key: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Calls:
    """A new profile, as a membership event of one's own."""

    who: str
    place: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Redacts:
    """The removal of an event, by its number among all that happened."""

    who: str
    place: str
    which: int


@dataclass(frozen=True)
class Taps:
    """A reaction to one of the bot's messages, by its number among them."""

    who: str
    place: str
    which: int
    key: str


@dataclass(frozen=True)
class Goes:
    """Coming or leaving."""

    who: str
    place: str
    joins: bool


@dataclass(frozen=True)
class Repeats:
    """An event that comes once more, from whatever time it claims to be."""

    which: int
    at: Any
    changed: dict[str, Any]


@dataclass(frozen=True)
class Forges:
    """An event as another server may shape it; the sender is one of that server's own."""

    place: str
    event: Any


@dataclass(frozen=True)
class Waits:
    """Time that passes."""

    seconds: int


Act = Sends | Sets | Calls | Redacts | Taps | Goes | Repeats | Forges | Waits

_WHO, _WHERE, _WHICH = st.sampled_from(PEOPLE), st.sampled_from(PLACES), st.integers(0, 200)
_MAY_SET = st.sampled_from((("mallory", "own"), ("mallory", "own"), ("ann", "main"), ("ann", "red"), ("gone", "main")))
_FORGED = mixed(
    {
        "event_id": st.integers(0, 10**9).map("$forged{}".format) | _EVENT_IDS,
        "type": st.sampled_from(("m.room.message", "m.reaction", "m.room.redaction", "m.room.encrypted", "m.sticker"))
        | TEXTS,
        "sender": st.just("@eve:evil.test") | TEXTS.map("@e{}:evil.test".format),
        "origin_server_ts": _NUMBERS,
        "content": messages() | REACTIONS | WRONG,
    },
    more=("unsigned", "redacts", "room_id", "hashes"),
)
_AGAIN = mixed({"content": messages() | REACTIONS}, more=("unsigned",))

ACTS: st.SearchStrategy[Act] = st.one_of(
    st.builds(Sends, _WHO, _WHERE, st.just("m.room.message"), messages()),
    st.builds(Sends, _WHO, _WHERE, st.just("m.room.message"), messages()),
    st.builds(Sends, _WHO, _WHERE, st.just("m.reaction"), REACTIONS),
    st.builds(
        Sends, _WHO, _WHERE, st.sampled_from(("m.room.redaction", "m.sticker", "org.x")), st.dictionaries(TEXTS, WRONG)
    ),
    st.sampled_from(sorted(STATE)).flatmap(
        lambda type_: st.builds(
            lambda at, key, content: Sets(at[0], at[1], type_, key, content),
            _MAY_SET,
            st.just("") | TEXTS,
            STATE[type_],
        )
    ),
    st.builds(Calls, _WHO, _WHERE, _PROFILES),
    st.builds(Redacts, _WHO, _WHERE, _WHICH),
    st.builds(Taps, _WHO, _WHERE, _WHICH, st.sampled_from(_KEYCAPS)),
    st.builds(Taps, _WHO, _WHERE, _WHICH, st.sampled_from(_KEYCAPS)),
    st.builds(Goes, _WHO, _WHERE, st.booleans()),
    st.builds(Repeats, _WHICH, _NUMBERS, st.just({}) | _AGAIN),
    st.builds(Forges, _WHERE, _FORGED | WRONG),
    st.builds(Waits, st.sampled_from((1, 15, 70, 200))),
)
SAID: st.SearchStrategy[Act] = st.builds(Sends, _WHO, _WHERE, st.just("m.room.message"), messages())
"""Only what is typed."""

PHASE = st.sampled_from(("none", *(str(phase) for phase in Phase if phase is not Phase.DELETED), "delete asked"))
