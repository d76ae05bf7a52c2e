"""A class and its session, as the examples of these tests need them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes import observed, preparing, setup, starting
from plugins.breakout.domain.changes.setup import Layout, SetUp
from plugins.breakout.domain.model import Person, Phase, Presence, Session, Settings
from plugins.breakout.domain.moments import advance

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
SETTINGS = Settings()
MAIN = "!main:x"
MOD = "@mod:x"
MODERATOR = Person(MOD, "Mod", moderator=True)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def user(number: int) -> str:
    return f"@p{number}:x"


def pupils(count: int, *, here: int = 0) -> list[Person]:
    """So many participants, the first `here` of them here, and one moderator."""
    return [MODERATOR, *(Person(user(n), f"P{n}", here=n <= here) for n in range(1, count + 1))]


def set_up(
    layout: Layout,
    people: list[Person],
    session: Session | None = None,
    settings: Settings = SETTINGS,
) -> Change[SetUp]:
    return setup.set_up(
        session,
        layout,
        main=MAIN,
        session_id="s1" if session is None else "s2",
        by=MOD,
        people=people,
        settings=settings,
        rng=Random(1),
    )


def start(
    session: Session,
    people: list[Person],
    *,
    limit: timedelta | None = None,
    now: datetime = NOW,
    settings: Settings = SETTINGS,
) -> Session:
    change = starting.start(
        session,
        by=MOD,
        people=people,
        now=now,
        settings=settings,
        rng=Random(1),
        key="q",
        limit=limit,
        confirmed=True,
    )
    assert change.session.phase is Phase.RUNNING
    return change.session


def prepare(session: Session, people: list[Person], *, now: datetime = NOW) -> Session:
    change = preparing.prepare(
        session, by=MOD, people=people, now=now, settings=SETTINGS, rng=Random(1), key="q", confirmed=True
    )
    assert change.session.is_prepared
    return change.session


def rooms_made(session: Session) -> Session:
    for room in session.open_rooms:
        session = observed.room_made(session, room.number, f"!r{room.number}:x").session
    return session


def all_in(session: Session) -> Session:
    """Everybody has accepted the invite."""
    seats = (replace(seat, presence=Presence.JOINED, invited_at=NOW) for seat in session.seats.values())
    return rooms_made(session).with_seats(*seats)


def running_session(
    count: int = 8, rooms: int = 4, *, layout: Layout | None = None, limit: timedelta | None = None
) -> Session:
    """A session that runs, everybody in; its clock has begun at `NOW`."""
    people = pupils(count)
    session = start(set_up(layout or Layout(count=rooms), people).session, people, limit=limit)
    return advance(all_in(session), now=NOW, settings=SETTINGS).session


def sizes(session: Session) -> list[int]:
    return sorted(len(session.people_of(room.number)) for room in session.open_rooms)
