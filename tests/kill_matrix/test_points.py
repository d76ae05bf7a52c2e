"""The points of the matrix: each boundary once, spread over sessions, and none tried twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.proxy import SYNC_ONLY, How
from tests.kill_matrix.mortal import table_written
from tests.kill_matrix.points import MOST_IN_AN_ACT, Hurt, Outcome, Seen, in_turn, spread
from tests.kill_matrix.real import Results, groups

SEEN = Seen(
    {"start": Counter(create_room=2, sync=9), "end": Counter(kick=4)},
    {"start": Counter({"inbox+outbox": 3}), "end": Counter(outbox=2)},
)


def test_each_boundary_is_a_point_on_both_sides() -> None:
    points = SEEN.kills()
    assert len(points) == len(set(points)) == 10
    assert {point.side for point in points} == {"before", "after"}


def test_random_points_are_the_later_ones_and_repeat_with_their_seed() -> None:
    points = SEEN.random_kills(5, 10)
    assert points == SEEN.random_kills(5, 10)
    assert all(1 < point.nth <= 9 for point in points)


def test_a_session_has_few_kills_in_one_act_and_every_point_has_a_session() -> None:
    sessions = spread(SEEN.kills(), 3)
    assert Counter(point for group in sessions for point in group) == Counter(SEEN.kills())
    for group in sessions:
        assert len(group) <= 3
        assert max(Counter(point.act for point in group).values()) <= MOST_IN_AN_ACT


def test_each_fault_befalls_each_kind_and_those_of_a_sync_only_syncs() -> None:
    hurts = SEEN.hurts()
    assert {hurt.how for hurt in hurts if hurt.kind == "sync"} == set(How)
    assert {hurt.how for hurt in hurts if hurt.kind == "kick"} == set(How) - SYNC_ONLY
    for group in in_turn(hurts, 2):
        assert len({(hurt.kind, hurt.nth) for hurt in group}) == len(group)
    assert sum(map(len, in_turn(hurts, 2))) == len(hurts)


def test_a_run_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    results = Results(file)
    results.note_seen(SEEN)
    kill = SEEN.kills()[0]
    results.add(Outcome(str(kill), reached=True))
    missed = Hurt("kick", How.SLOW)
    results.add(Outcome(str(missed), reached=False))
    again = groups(Results(file))
    left = [point for group in again for point in group]
    assert kill not in left
    assert len(left) == len(SEEN.kills()) - 1 + len(SEEN.hurts())
    assert [missed] in again, "what was not reached is tried alone"


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("INSERT INTO outbox (owner) VALUES (?)", "outbox"),
        ("INSERT OR IGNORE INTO inbox VALUES (?)", "inbox"),
        ('\n UPDATE "alarms" SET due_ms = 1', "alarms"),
        ("DELETE FROM room_state WHERE room = ?", "room_state"),
        ("SELECT 1 FROM inbox", None),
    ],
)
def test_the_table_of_a_statement(statement: str, table: str | None) -> None:
    assert table_written(statement) == table
