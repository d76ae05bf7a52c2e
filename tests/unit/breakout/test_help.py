"""Help requests, visits and texts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from plugins.breakout.domain import refusals
from plugins.breakout.domain.changes import ending, rooms
from plugins.breakout.domain.changes import help as help_changes
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.model import Presence, Session
from plugins.breakout.domain.notices import (
    Broadcast,
    EndReason,
    HelpAsked,
    HelpClaimed,
    HelpClosed,
    HelpEnd,
    HelpUnclaimed,
)
from tests.unit.breakout.example import MOD, NOW, SETTINGS, pupils, running_session, set_up, user

OTHER = "@other:x"


def ask(session: Session, who: str, *, room: int = 1, text: str = "", after: float = 0) -> Session:
    now = NOW + timedelta(seconds=after)
    return help_changes.ask_help(session, room, who, text, now=now, settings=SETTINGS).session


def test_a_request_goes_to_the_moderators() -> None:
    change = help_changes.ask_help(running_session(), 1, user(1), " stuck ", now=NOW, settings=SETTINGS)
    assert change.notices == (HelpAsked("s1", 1, 1, NOW, 1, user(1), "stuck"),)
    assert change.told.help.text == "stuck"


def test_asking_again_keeps_the_age_and_says_it_once_more() -> None:
    session = ask(running_session(), user(1), text="stuck")
    session = ask(session, user(2), after=5)
    request = session.room(1).help
    assert request is not None
    assert (request.since, request.times, request.text, request.user) == (NOW, 2, "stuck", user(2))


def test_the_cool_down_is_each_persons_own() -> None:
    session = ask(running_session(), user(1))
    session = help_changes.withdraw_help(session, 1, user(1)).session
    with pytest.raises(refusals.HelpCooldown) as caught:
        ask(session, user(1), after=4)
    assert caught.value.left == timedelta(seconds=6)
    assert ask(session, user(1), after=10).room(1).help is not None


def test_one_moderator_claims_and_may_take_it_back() -> None:
    session = ask(running_session(), user(1))
    claimed = help_changes.claim(session, 1, MOD, now=NOW)
    assert claimed.notices == (HelpClaimed("s1", 1, 1, NOW, MOD, NOW),)
    assert help_changes.claim(claimed.session, 1, MOD, now=NOW).notices == ()
    with pytest.raises(refusals.AlreadyClaimed):
        help_changes.claim(claimed.session, 1, OTHER, now=NOW)
    assert help_changes.unclaim(claimed.session, 1, OTHER, now=NOW).session is claimed.session
    released = help_changes.unclaim(claimed.session, 1, MOD, now=NOW)
    assert released.notices == (HelpUnclaimed("s1", 1, 1, NOW, MOD, NOW),)
    assert help_changes.claim(released.session, 1, OTHER, now=NOW).told.help.claimed_by == OTHER


def test_a_request_closes_by_resolve_by_withdrawal_by_a_moderators_word_and_at_the_end() -> None:
    session = ask(running_session(), user(1))
    closed = {
        HelpEnd.RESOLVED: help_changes.resolve(session, 1, MOD).notices,
        HelpEnd.WITHDRAWN: help_changes.withdraw_help(session, 1, user(2)).notices,
        HelpEnd.ATTENDED: help_changes.moderator_wrote(session, 1, MOD, now=NOW).notices,
        HelpEnd.ENDED: ending.finish(session, why=EndReason.TIMER, now=NOW, settings=SETTINGS)[1],
    }
    for why, notices in closed.items():
        assert [n.why for n in notices if isinstance(n, HelpClosed)] == [why]


def test_a_moderators_own_request_is_not_closed_by_his_own_words() -> None:
    session = ask(running_session(), MOD)
    change = help_changes.moderator_wrote(session, 1, MOD, now=NOW)
    assert change.session.room(1).help is not None
    assert change.session.room(1).visited_at == NOW


def test_without_a_request_there_is_nothing_to_claim_or_resolve() -> None:
    session = running_session()
    with pytest.raises(refusals.NoHelpRequest):
        help_changes.claim(session, 1, MOD, now=NOW)
    with pytest.raises(refusals.NoHelpRequest):
        help_changes.resolve(session, 1, MOD)
    with pytest.raises(refusals.NoHelpRequest):
        help_changes.withdraw_help(session, 1, user(1))


def test_the_queue_begins_with_the_oldest() -> None:
    session = ask(running_session(), user(1), room=3)
    session = ask(session, user(2), room=1, after=20)
    assert [told.room.number for told in help_changes.queue(session)] == [3, 1]


def test_help_needs_a_running_session_and_a_text_of_some_length() -> None:
    with pytest.raises(refusals.NothingRunning):
        ask(set_up(Layout(count=2), pupils(2)).session, user(1))
    with pytest.raises(refusals.TooLong):
        ask(running_session(), user(1), text="x" * 2001)


def test_a_broadcast_reaches_each_room_that_exists_and_names_who_is_not_there() -> None:
    session = running_session()
    session = session.with_seats(replace(session.seats[user(1)], presence=Presence.LEFT))
    session = rooms.add_rooms(session, ["Late"], settings=SETTINGS).session
    change = help_changes.broadcast(session, None, event="$e")
    assert change.notices == tuple(Broadcast("s1", "$e", number) for number in (1, 2, 3, 4))
    assert [room.name for room in change.told.unmade] == ["Late"]
    assert change.told.absent == ((user(1), session.seats[user(1)].room),)


def test_tell_reaches_one_room() -> None:
    assert help_changes.broadcast(running_session(), 2, event="$e").notices == (Broadcast("s1", "$e", 2),)


def test_a_visit_is_noted() -> None:
    assert help_changes.visit(running_session(), 2, now=NOW).told.visited_at == NOW
