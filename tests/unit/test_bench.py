"""What the benchmarks compute from what they measured, and that what is measured once is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import Part, run
from bench.aims import AT_ONCE_SIZE, AT_ONCE_TIMES, Aim, aims
from bench.figures import Spread, exponent, number, quantiles, ratios, table
from bench.ground import Size
from bench.measured import best_floor, by_repetition, rows_of
from bench.operations import (
    BROADCAST,
    COURSES,
    END,
    FLOOR,
    NOTED,
    OURS,
    PEER,
    PREPARED,
    START,
    START_PREPARED,
    USUAL,
    Course,
)
from bench.report import BEGIN, FINISH, report, write
from bench.results import Results
from bench.stock import seconds


def test_a_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert str(Spread.of([3.0, 1.0, 2.0])) == "2.00 (1.00–3.00)"
    assert str(Spread.of([12.34])) == "12.3"
    assert Spread.of([]) is None


def test_numbers_have_no_more_digits_than_noise_leaves_them() -> None:
    assert [number(value) for value in (0.123, 9.99, 10.04, 123.4)] == ["0.12", "9.99", "10.0", "123"]


def test_a_ratio_compares_the_same_repetitions_only() -> None:
    slow_machine_in_the_second = {0: 1.0, 1: 10.0, 2: 1.0}
    assert ratios(slow_machine_in_the_second, {0: 2.0, 1: 20.0}) == Spread(0.5, 0.5, 0.5)
    assert ratios({}, {0: 1.0}) is None


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert quantiles(values, 50, 95, 99) == (50.0, 95.0, 99.0)
    assert quantiles([7.0], 50, 99) == (7.0, 7.0)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found(power: float) -> None:
    assert exponent([(x, 3 * x**power) for x in (12.0, 55.0, 110.0, 220.0)]) == pytest.approx(power)


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_what_was_measured_is_found_again_by_a_later_run(tmp_path: Path) -> None:
    file = tmp_path / "results" / "rows.jsonl"
    Results(file, "code").add("cycle", [{"done": 1.0}, {"done": 2.0}], rooms=2, repetition=0)
    later = Results(file, "code")
    assert later.has("cycle", rooms=2, repetition=0)
    assert [row["done"] for row in later.of("cycle", rooms=2)] == [1.0, 2.0]
    assert not later.has("cycle", rooms=2, repetition=1)


def test_what_was_measured_of_other_code_is_measured_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    Results(file, "old").add("idle", [{"ready": 1.0}], halls=0)
    assert not Results(file, "new").has("idle", halls=0)


def test_a_line_that_a_kill_cut_off_is_no_result(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    Results(file, "code").add("idle", [{"ready": 1.0}], halls=0)
    with file.open("a") as out:
        out.write('{"what": "idle", "co')
    Results(file, "code").add("idle", [{"ready": 2.0}], halls=1)
    assert [row["ready"] for row in Results(file, "code").of("idle")] == [1.0, 2.0]


def test_every_operation_is_reported_under_a_name_of_its_own() -> None:
    assert len({operation.name for operation in NOTED}) == len(NOTED)
    assert all(operation in course.operations for course in COURSES for operation in course.noted)


def test_the_floor_is_done_when_our_bot_is_and_the_peer_may_do_less() -> None:
    for operation in NOTED:
        assert OURS in operation.says
        assert operation.done(OURS, Size(2, 10)).keys() >= operation.done(PEER, Size(2, 10)).keys()
        assert operation.done(FLOOR, Size(2, 10)) == operation.done(OURS, Size(2, 10))


def test_stock_limits_cost_nothing_within_the_burst_and_five_seconds_a_request_beyond() -> None:
    assert seconds("start", Size(2, 10)) == 0
    assert seconds("start", Size(10, 100)) == pytest.approx((10 + 3 - 8) * 5)
    assert seconds("end", Size(2, 10)) == pytest.approx((2 * 2 + 10 + 3 - 8) * 5)
    assert seconds("start", Size(20, 200)) == pytest.approx(10 / 0.016)


def test_the_report_takes_the_place_of_the_former_one_and_of_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\nWhat stood before.\n")
    results = Results(tmp_path / "rows.jsonl", "code")
    results.add("machine", [{"cpu": "quick", "cores": 2, "system": "Linux 6", "versions": {"Python": "3.11"}}])
    write(results, page, "python -m bench --quick")
    once = page.read_text()
    write(results, page, "python -m bench --quick")
    assert page.read_text() == once
    assert once.startswith("# Benchmarks\n\nWhat stood before.\n")
    assert once.count(BEGIN) == once.count(FINISH) == 1


SMALL = Size(2, 10)


def measured(results: Results, course: Course, took: dict[str, float], size: Size = SMALL) -> None:
    """Every operation of a course, each contender as fast as said, on a machine that gets slower."""
    for repetition in range(3):
        rows = [
            {
                "who": who,
                "operation": operation.name,
                **dict.fromkeys(("done", "reply", "first", "last", "room", "server_cpu"), done * (repetition + 1)),
                "cpu": 0.1,
                "memory": 100.0,
            }
            for operation in course.noted
            for who, done in took.items()
        ]
        results.add("cycle", rows, course=course.name, **size._asdict(), repetition=repetition)


def found(results: Results, words: str) -> Aim:
    (aim,) = (aim for aim in aims(results) if words in aim.aim)
    return aim


def test_the_report_sets_ours_beside_the_better_floor_and_the_peer(tmp_path: Path) -> None:
    results = Results(tmp_path / "rows.jsonl", "code")
    measured(results, USUAL, {OURS: 3.0, f"{FLOOR} 4": 2.0, f"{FLOOR} 8": 2.5, PEER: 6.0})
    line = next(line for line in report(results, "").splitlines() if line.startswith(f"| {START.name} | 6"))
    assert line == "| start | 6.00 (3.00–9.00) | 1.50 | 0.50 | 1.50 | 0.10 | 6.00 (3.00–9.00) |"


def test_the_floor_s_width_is_the_better_one_of_all_repetitions_and_not_of_each(tmp_path: Path) -> None:
    results = Results(tmp_path / "rows.jsonl", "code")
    for repetition, (four, eight) in enumerate([(1.0, 2.0), (2.0, 1.0), (1.0, 2.0)]):
        took = {OURS: 2.0, f"{FLOOR} 4": four, f"{FLOOR} 8": eight}
        rows = [{"who": who, "operation": END.name, "done": done} for who, done in took.items()]
        results.add("cycle", rows, course=USUAL.name, rooms=2, people=10, repetition=repetition)
    rows = rows_of(results, Size(2, 10))
    assert best_floor(rows, END.name) == f"{FLOOR} 4"
    ours, floor = (by_repetition(rows, who, END.name, "done") for who in (OURS, best_floor(rows, END.name)))
    assert ratios(ours, floor) == Spread(2.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("seconds_", "edits", "others", "said"),
    [
        (4.0, 2, 3, "none more"),
        (4.0, 3, 3, "broadcast 1 more"),
        (6.0, 4, 3, "none more"),
        (4.0, 0, 4, "broadcast 1 more"),
    ],
)
def test_each_board_may_be_edited_once_an_interval_beyond_the_floor_s_requests(
    tmp_path: Path, seconds_: float, edits: int, others: int, said: str
) -> None:
    results = Results(tmp_path / "rows.jsonl", "code")
    key = {"course": USUAL.name, "rooms": 2, "people": 10, "operation": BROADCAST.name}
    results.add("cycle", [{"who": f"{FLOOR} 4", "requests": {"send_message": 3}}], **key)
    ours = {"send_message": others, "send_edit": edits, "sync": 9}
    results.add("requests", [{"who": OURS, "requests": ours, "seconds": seconds_}], **key)
    aim = found(results, "requests")
    assert (aim.measured, aim.met) == (said, said == "none more")


@pytest.mark.parametrize(("ours", "met"), [(2.0, True), (2.2, True), (2.3, False)])
def test_what_is_near_enough_to_the_floor_meets_the_aim(tmp_path: Path, ours: float, *, met: bool) -> None:
    results = Results(tmp_path / "rows.jsonl", "code")
    measured(results, USUAL, {OURS: ours, f"{FLOOR} 4": 2.0, f"{FLOOR} 8": 2.0})
    aim = found(results, "start: seconds")
    assert (aim.size, aim.measured, aim.met) == ("2×10", f"{ours / 2:.2f}", met)


def test_a_prepared_start_is_held_against_the_floor_s_invites(tmp_path: Path) -> None:
    results = Results(tmp_path / "rows.jsonl", "code")
    measured(results, USUAL, {OURS: 9.0, f"{FLOOR} 4": 10.0}, AT_ONCE_SIZE)
    once = {"who": OURS, "operation": START_PREPARED.name, "last": 10.0 / AT_ONCE_TIMES, "done": 10.5 / AT_ONCE_TIMES}
    results.add("cycle", [once], course=PREPARED.name, **AT_ONCE_SIZE._asdict(), repetition=0)
    assert found(results, f"{START_PREPARED.name}, until everybody is let in or out").met
    assert not found(results, f"{START_PREPARED.name}, until all is said").met


def test_through_stock_limits_the_fastest_door_counts(tmp_path: Path) -> None:
    results = Results(tmp_path / "rows.jsonl", "code")
    # By links all can go when the last answer is there; who is invited, when the invite is, not the welcome after it.
    for door, last, done in (("invite", 100.0, 150.0), ("open", 4.0, 5.0), (PEER, 500.0, 550.0)):
        results.add("stock", [{"operation": START.name, "last": last, "done": done}], rooms=10, people=100, door=door)
    aim = found(results, "stock limits")
    assert (aim.measured, aim.met) == ("100 (open)", True)


def test_what_was_not_measured_is_no_aim_that_was_met(tmp_path: Path) -> None:
    assert aims(Results(tmp_path / "rows.jsonl", "code")) == []


async def test_a_part_that_fails_loses_no_other(tmp_path: Path) -> None:
    results, done = Results(tmp_path / "rows.jsonl", "code"), list[str]()

    async def fails(_: Results) -> None:
        raise TimeoutError

    async def succeeds(_: Results) -> None:
        done.append("measured")

    assert await run([Part("cycle", fails, "2×10"), Part("stock", succeeds)], results) == ["cycle 2×10"]
    assert done == ["measured"]
