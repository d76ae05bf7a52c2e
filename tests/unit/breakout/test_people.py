"""Coming, going, promotion, demotion, and what is seen of seats."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.breakout.domain.changes import ending, observed, people, seats
from plugins.breakout.domain.changes import help as help_changes
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.model import LateJoiners, Mode, Person, Presence, Session, Settings
from plugins.breakout.domain.notices import (
    EndReason,
    LateAsked,
    LateChooses,
    LateSeated,
    Notice,
    Promoted,
    WalkedIntoFull,
)
from tests.unit.breakout.example import MOD, NOW, SETTINGS, pupils, running_session, set_up, start, user

NEW = Person("@new:x", "New")
PEOPLE = pupils(8)
CHOOSE = Layout(count=4, mode=Mode.CHOOSE)


def joined(session: Session, settings: Settings = SETTINGS) -> tuple[Session, tuple[Notice, ...]]:
    change = people.joined_main(session, NEW, people=PEOPLE, now=NOW, settings=settings)
    return change.session, change.notices


def seen(
    session: Session,
    who: str,
    after: str,
    *,
    room: int | None = None,
    before: str | None = "join",
    by: str = "self",
    moderator: bool = False,
    capacity: int | None = None,
) -> Session:
    return observed.membership(
        session,
        room if room is not None else session.seats[who].room,
        who,
        before=before,
        after=after,
        by_self=by == "self",
        by_bot=by == "bot",
        moderator=moderator,
        now=NOW,
        capacity=capacity,
    ).session


def test_who_joins_before_the_start_gets_the_smallest_room_in_auto_mode_only() -> None:
    session, notices = joined(set_up(Layout(count=3), PEOPLE).session)
    assert len(session.people_of(session.seats[NEW.user].room)) == 3
    assert notices == ()
    for layout in (Layout(count=3, mode=Mode.MANUAL), CHOOSE, Layout(count=3, here=True)):
        assert NEW.user not in joined(set_up(layout, PEOPLE).session)[0].seats


def test_a_late_joiner_is_seated_in_auto_mode() -> None:
    session, notices = joined(running_session())
    seat = session.seats[NEW.user]
    assert (seat.late, seat.invite_count, seat.presence) == (True, 1, Presence.ASSIGNED)
    assert notices == (LateSeated("s1", 1, NEW.user, NOW, seat.room),)


def test_the_moderators_are_asked_in_manual_mode_or_where_it_is_set_so() -> None:
    for session, settings in (
        (replace(running_session(), mode=Mode.MANUAL), SETTINGS),
        (running_session(), Settings(late_joiners=LateJoiners.ASK)),
    ):
        asked, notices = joined(session, settings)
        assert notices == (LateAsked("s1", 1, NEW.user, NOW),)
        assert asked.waiting == {NEW.user}
        assert seats.assign(asked, [(NEW.user, 1)], people=[*PEOPLE, NEW]).session.waiting == frozenset()


def test_stay_does_nothing_and_choose_mode_shows_the_board() -> None:
    session = running_session()
    assert joined(session, Settings(late_joiners=LateJoiners.STAY)) == (session, ())
    choose = start(set_up(CHOOSE, PEOPLE).session, PEOPLE)
    assert joined(choose) == (choose, (LateChooses("s1", 1, NEW.user, NOW),))


def test_nothing_happens_to_late_joiners_once_the_rooms_close() -> None:
    closing = ending.end(running_session(), by=MOD, now=NOW, settings=SETTINGS).session
    ended, _ = ending.finish(closing, why=EndReason.TIMER, now=NOW, settings=SETTINGS)
    assert joined(closing) == (closing, ())
    assert joined(ended) == (ended, ())


def test_a_moderator_who_joins_gets_no_seat() -> None:
    session = running_session()
    other = Person("@other:x", "Other", moderator=True)
    change = people.joined_main(session, other, people=PEOPLE, now=NOW, settings=SETTINGS)
    assert change.session is session


def test_leaving_the_main_room_frees_the_seat_and_leaves_no_trace() -> None:
    session = seats.pass_round(running_session(), user(1)).session
    gone = people.left_main(session, user(1)).session
    assert user(1) not in gone.seats
    assert user(1) not in gone.passed
    assert people.left_main(gone, user(1)).session is gone


def test_a_moderator_who_leaves_the_main_room_comes_to_nobodys_help() -> None:
    session = help_changes.ask_help(running_session(), 1, user(1), "", now=NOW, settings=SETTINGS).session
    claimed = help_changes.claim(session, 1, MOD, now=NOW).session
    assert people.left_main(claimed, MOD).session == session


def test_promotion_frees_the_seat_except_where_everyone_takes_part() -> None:
    session = running_session()
    change = people.promoted(session, user(1), now=NOW)
    assert user(1) not in change.session.seats
    assert change.notices == (Promoted("s1", user(1), NOW, session.seats[user(1)].room),)
    everyone = running_session(layout=Layout(count=4, everyone=True))
    assert user(1) in people.promoted(everyone, user(1), now=NOW).session.seats


def test_a_demoted_moderator_is_a_late_joiner_and_claims_no_more() -> None:
    session = help_changes.ask_help(running_session(), 1, user(1), "", now=NOW, settings=SETTINGS).session
    session = help_changes.claim(session, 1, MOD, now=NOW).session
    person = Person(MOD, "Mod")
    change = people.demoted(session, person, people=PEOPLE, now=NOW, settings=SETTINGS)
    assert MOD in change.session.seats
    request = change.session.room(1).help
    assert request is not None
    assert request.claimed_by is None


def test_a_seat_follows_what_is_seen_of_its_person() -> None:
    session = running_session()
    invited = session.with_seats(replace(session.seats[user(1)], presence=Presence.INVITED))
    assert seen(invited, user(1), "join", before="invite").seats[user(1)].presence is Presence.JOINED
    assert seen(invited, user(1), "leave", before="invite").seats[user(1)].presence is Presence.DECLINED
    assert seen(session, user(1), "leave").seats[user(1)].presence is Presence.LEFT
    assert seen(session, user(1), "leave", by="moderator").seats[user(1)].presence is Presence.REMOVED
    assert seen(session, user(1), "ban", by="moderator").seats[user(1)].presence is Presence.REMOVED
    assert seen(session, user(1), "leave", by="bot") is session
    assert seen(session, user(1), "join") is session


def test_a_declined_invite_is_noticed_before_our_own_call_returned() -> None:
    session = start(set_up(Layout(count=4), PEOPLE).session, PEOPLE)
    assert seen(session, user(1), "leave", before="invite").seats[user(1)].presence is Presence.DECLINED


def test_an_old_leave_says_nothing_of_this_rounds_invite() -> None:
    session = start(set_up(Layout(count=4), PEOPLE).session, PEOPLE)
    assert seen(session, user(1), "leave", before="leave") is session


@pytest.mark.parametrize("presence", [Presence.JOINED, Presence.DECLINED, Presence.LEFT])
def test_an_invite_is_noted_only_on_a_seat_that_waits_for_it(presence: Presence) -> None:
    session = running_session()
    session = session.with_seats(replace(session.seats[user(1)], presence=presence))
    room = session.seats[user(1)].room
    assert observed.invited(session, user(1), room, now=NOW, settings=SETTINGS).session is session
    assert observed.unreachable(session, user(1), room, "?", now=NOW, settings=SETTINGS).session is session


def test_what_is_seen_after_the_end_changes_no_seat() -> None:
    ended, _ = ending.finish(running_session(), why=EndReason.TIMER, now=NOW, settings=SETTINGS)
    assert seen(ended, user(1), "leave") is ended


def test_walking_into_a_room_is_choosing_it() -> None:
    session = start(set_up(CHOOSE, PEOPLE).session, PEOPLE)
    session = seen(session, user(1), "join", room=2, before=None)
    assert (session.seats[user(1)].room, session.seats[user(1)].presence) == (2, Presence.JOINED)
    session = seen(session, user(1), "join", room=3, before=None)
    assert (session.seats[user(1)].room, session.seats[user(1)].moved_from) == (3, 2)
    session = seen(session, user(1), "leave", room=2, by="bot")
    assert session.seats[user(1)].moved_from is None


def test_walking_into_a_room_in_another_mode_is_not() -> None:
    session = running_session()
    elsewhere = session.seats[user(1)].room % 4 + 1
    assert seen(session, user(1), "join", room=elsewhere, before=None) is session


def test_walking_into_a_full_room_shows_the_free_ones() -> None:
    session = start(set_up(CHOOSE, PEOPLE).session, PEOPLE)
    session = seen(session, user(1), "join", room=2, before=None, capacity=1)
    change = observed.membership(
        session,
        2,
        user(2),
        before=None,
        after="join",
        by_self=True,
        by_bot=False,
        moderator=False,
        now=NOW,
        capacity=1,
    )
    assert change.session is session
    assert change.notices == (WalkedIntoFull("s1", 1, user(2), NOW, 2, (1, 3, 4)),)


def test_a_moderator_who_walks_in_visits_and_takes_no_seat() -> None:
    session = start(set_up(CHOOSE, PEOPLE).session, PEOPLE)
    session = seen(session, MOD, "join", room=2, before=None, moderator=True)
    assert MOD not in session.seats
    assert session.room(2).visited_at == NOW


def test_a_room_that_the_bot_left_for_good_is_closed() -> None:
    session = running_session()
    assert observed.room_closed(session, 1).session.room(1).closed
    gone = session.with_room(replace(session.room(1), removed=True))
    assert observed.room_lost(gone, 1, "!r1:x").session.room(1).closed
