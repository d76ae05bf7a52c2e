"""Each refusal of the host is one sentence that says what was wrong, and help comes from declarations."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.commands.help import find, markdown, one, overview
from bot.commands.refusals import (
    AmbiguousPerson,
    BadChoice,
    BadDuration,
    BadNumber,
    Fault,
    HostRefusal,
    Missing,
    NotPermitted,
    TooMuch,
    UnknownCommand,
    UnknownPerson,
    WrongPlace,
)
from bot.commands.sentences import broken, explain, skipped
from bot.message.doc import Doc
from bot.message.render import render
from bot.plugin import Call, Command, NoConfig, Plugin, Role
from tests.unit.test_commands_match import lifespan


async def starts(call: Call[None], value: None) -> None:
    """Start the rooms, with a limit such as `20m`.

    Everybody gets
    an invite.
    """


async def asks(call: Call[None]) -> None:
    """Ask a moderator."""


START = Command(
    ("rooms", "start"),
    starts,
    aliases=(("rooms", "open"),),
    role=Role.MODERATOR,
    where=frozenset({"main", "desk"}),
    usage=("", "20m"),
    examples=("rooms start 20m", "rooms start"),
    parse=lambda line, _: line,
    section="Running",
)
HELP = Command(("help",), asks, usage=("TEXT",))
HIDDEN = Command(("secret",), asks, hidden=True)
ALL = (HELP, START, HIDDEN)


def body(doc: Doc) -> str:
    text = render(doc)["body"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (NotPermitted(START), "Only a moderator can use !rooms start."),
        (WrongPlace(START, "small"), "!rooms start does not work here, only in: desk, main."),
        (UnknownCommand("rooms x"), "There is no command !rooms x."),
        (
            UnknownCommand("rooms strat", START),
            "There is no command !rooms strat. Did you mean !rooms start 20m?",
        ),
        (
            UnknownCommand("rooms strat", START, HELP),
            "There is no command !rooms strat. Did you mean !rooms start 20m, or !help TEXT?",
        ),
        (BadDuration("abc"), "“abc” is no length of time. 90s, 20m and 1h30m are."),
        (BadDuration("0", Fault.NOT_POSITIVE), "“0” is too short. 90s, 20m and 1h30m work."),
        (BadDuration("99h", Fault.TOO_LONG, most=timedelta(hours=24)), "“99h” is too long: 24h is the most."),
        (
            BadDuration("1:30", Fault.TWO_READINGS, ("1h30m", "1m30s")),
            "“1:30” can be read in two ways. Please type 1h30m or 1m30s.",
        ),
        (BadNumber("x", 1), "“x” is no whole number from 1 on, such as 4."),
        (BadNumber("21", 1, 20), "“21” is no whole number from 1 to 20."),
        (BadChoice("x", ("auto", "manual")), "“x” is none of these: auto, manual."),
        (
            UnknownPerson("@zoe"),
            "Nobody here is called “@zoe”. Please choose a member of the room from those that your app shows after @.",
        ),
        (UnknownPerson("Zoe", (), ("Ann", "Bob")), "Nobody here is called “Zoe”. Here are: Ann, Bob."),
        (UnknownPerson("Zoe", ("Zoé", "Zora")), "I am not sure who “Zoe” is. Did you mean: Zoé, Zora?"),
        (
            AmbiguousPerson("Ann", ("@a:x", "@b:x")),
            "Several people here are called “Ann”. Please type the one that you mean: @a:x, @b:x.",
        ),
        (Missing("who"), "Please say who."),
        (Missing("who", "rooms start"), "Please say who: !rooms start."),
        (TooMuch("now"), "I do not understand “now” here: the command ends before it."),
        (HostRefusal(), "That does not work."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_is_one_sentence(refusal: HostRefusal, sentence: str) -> None:
    assert body(explain(refusal, "!")) == sentence


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (TooMuch("confrm"), "I do not understand “confrm”. Did you mean !rooms delete confirm?"),
        (TooMuch("Confirm 5m"), "I do not understand “Confirm 5m”. Did you mean !rooms delete confirm?"),
        (TooMuch("20m"), "I do not understand “20m” here: the command ends before it, such as !rooms delete."),
        (BadDuration("confrim"), "I do not understand “confrim”. Did you mean !rooms delete confirm?"),
        (BadDuration("soon"), "“soon” is no length of time. 90s, 20m and 1h30m are."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_too_much_is_answered_with_what_the_command_takes(refusal: HostRefusal, sentence: str) -> None:
    delete = replace(START, path=("rooms", "delete"), usage=("", "20m", "confirm"), examples=("rooms delete",))
    assert body(explain(refusal, "!", delete)) == sentence


def test_a_refusal_shows_markup_as_text_and_cuts_long_lines_short() -> None:
    content = render(explain(UnknownPerson("<b>{typed}`**" + "x" * 5000), "!"))
    assert "<b>" not in content.get("formatted_body", "")
    assert len(content["body"]) < 200


def test_what_broke_has_a_reference_and_what_was_skipped_is_asked_for_again() -> None:
    assert body(broken("7F3A")) == "Something broke. Reference 7F3A"
    assert "repeat" in body(skipped())


def test_help_lists_what_the_asker_may_run_here() -> None:
    assert body(overview(ALL, Role.MODERATOR, "main")) == (
        "- !help TEXT — Ask a moderator.\n\nRunning\n\n- !rooms start 20m — Start the rooms, with a limit such as 20m."
    )
    assert "start" not in body(overview(ALL, Role.ANYONE, "main"))
    assert "start" not in body(overview(ALL, Role.MODERATOR, "small"))
    assert "secret" not in body(overview(ALL, Role.MODERATOR, "main"))


def test_long_help_begins_with_the_main_commands_and_names_the_others_by_section() -> None:
    many = [
        *(Command(("rooms", f"do{number}"), starts, role=Role.MODERATOR, section="Deeds") for number in range(12)),
        replace(START, path=("rooms", "stop"), examples=("rooms stop",), leads=2),
        replace(START, leads=1),
        replace(HELP, section="Calls"),
        Command(("rooms", "help"), asks, section="Calls"),
    ]
    assert body(overview(many, Role.MODERATOR, "main")).split("\n\n") == [
        (
            "- !rooms start 20m — Start the rooms, with a limit such as 20m.\n"
            "- !rooms stop — Start the rooms, with a limit such as 20m."
        ),
        "More:",
        "- Deeds: do0, do1, do2, do3, do4, do5, do6, do7, do8, do9, do10, do11\n- Calls: !help, help",
        "!rooms help start says all about one.",
    ]


def test_help_for_one_command_shows_its_examples() -> None:
    assert body(one(START, "?")) == (
        "?rooms start\n\nStart the rooms, with a limit such as 20m.\n\nEverybody gets an invite.\n\n"
        "For example:\n\n- ?rooms start 20m\n- ?rooms start\n\nAlso: ?rooms open"
    )
    assert body(one(HELP)) == "!help\n\nAsk a moderator.\n\n- !help TEXT"


@pytest.mark.parametrize("typed", ["start", "Rooms  start", "!rooms start", "open"])
def test_help_finds_a_command_by_each_of_its_names(typed: str) -> None:
    assert find(ALL, typed) is START


def test_help_for_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(UnknownCommand) as refused:
        find(ALL, "strat")
    assert refused.value.nearest is START
    with pytest.raises(UnknownCommand) as refused:
        find((), "start")
    assert refused.value.nearest is None


def test_the_chapter_of_the_documentation_has_all_that_is_declared() -> None:
    plugin = Plugin("rooms", "Makes rooms.", NoConfig, lifespan)
    plugin.commands.extend(ALL)
    text = markdown([plugin])
    assert text == (
        "## rooms\n\nMakes rooms.\n\n"
        "#### `!help`\n\nAsk a moderator.\n\n- Who: everybody\n- Where: everywhere\n- Forms: `!help TEXT`\n\n"
        "### Running\n\n"
        "#### `!rooms start`\n\nStart the rooms, with a limit such as `20m`.\n\nEverybody gets an invite.\n\n"
        "- Who: moderators\n- Where: desk, main\n- Forms: `!rooms start`, `!rooms start 20m`\n"
        "- Examples: `!rooms start 20m`, `!rooms start`\n- Also: `!rooms open`\n"
    )
