"""The results as Markdown, between markers in docs/benchmarks.md; what stands outside of them is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.aims import aims
from bench.cycle import WIDTHS
from bench.figures import Spread, exponent, number, quantiles, ratios, table
from bench.ground import Size
from bench.measured import best_floor, by_repetition, floor_requests, rows_of, sizes, stock_starts
from bench.operations import END, FLOOR, NOTED, OURS, PEER, POSTGRES, START, USUAL
from bench.results import Results, Row
from bench.stock import INVITE, seconds

BEGIN, FINISH = "<!-- begin: python -m bench -->", "<!-- end: python -m bench -->"
LARGE = (Size(20, 200), Size(50, 500))

Section = Callable[[Results], Iterator[str]]


def write(results: Results, page: Path, command: str) -> None:
    """Put the report of these results into the page, in place of the former one, or at its end; or into a new page."""
    text = page.read_text("utf-8") if page.exists() else ""
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{FINISH}\n".lstrip()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(FINISH)[2]
    page.write_text(f"{before}{BEGIN}\n\n{report(results, command)}\n{FINISH}{after}", "utf-8")


def report(results: Results, command: str) -> str:
    """All sections for which there are results."""
    parts = [paragraph for section in SECTIONS for paragraph in section(results)]
    return "\n\n".join([*_head(results, command), *parts]) + "\n"


def _head(results: Results, command: str) -> Iterator[str]:
    machine = next(iter(results.of("machine")), {})
    dates = sorted({str(row["date"]) for row in results.rows if row["code"] == results.code})
    loads = Spread.of(float(row["load"]) for row in results.of("cycle"))
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    yield f"`{command}`"
    yield (
        f"{machine.get('cores')} cores ({machine.get('cpu')}), {machine.get('system')}; {versions}; server and bots on "
        f"the same machine, SQLite under both. {' to '.join(dict.fromkeys(dates[:1] + dates[-1:]))}. "
        f"Code `{results.code}`."
    )
    if loads:
        yield (
            f"Processes that wanted to run meanwhile, others' included: {loads} (load average; more than the number of "
            "cores means that all were slowed down). Seconds are noisy then, ratios less, seconds of CPU least of all."
        )
    yield (
        "*Floor*: the least requests that lead to the same end, sent raw with all known beforehand as soon as the "
        f"moderator's command is in the room, the better of {' and '.join(map(str, WIDTHS))} in flight. *Peer*: "
        "`bench/peer.py`, what one writes in an afternoon with matrix-nio; it does less (no desk, no board, no lock, "
        "no record). A figure is the median, with the least and the most in brackets; a ratio is that of neighbours "
        "in the same repetition."
    )


def _cycle(results: Results) -> Iterator[str]:
    for size in sizes(results, "cycle"):
        yield from _of_size(size, rows_of(results, size), "")


def _postgres(results: Results) -> Iterator[str]:
    for size in sizes(results, "cycle"):
        yield from _of_size(size, list(results.of("cycle", course=POSTGRES.name, **size._asdict())), ", PostgreSQL")


def _of_size(size: Size, rows: Sequence[Row], where: str) -> Iterator[str]:
    if not rows:
        return
    count = len({row["repetition"] for row in rows})
    yield f"### {size.rooms} rooms, {size.people} people{where} ({count} repetition{'s' if count > 1 else ''})"
    measured = {row["operation"] for row in rows}
    head = ("operation", "ours, s", "÷ floor", "÷ peer", "CPU of the server ÷ floor", "CPU of the bot, s", "reply, s")
    yield table(head, [_operation(rows, operation.name) for operation in NOTED if operation.name in measured])
    if START.name in measured:
        yield _first_and_last(rows)


def _operation(rows: Sequence[Row], name: str) -> tuple[str, ...]:
    floor = best_floor(rows, name)

    def took(who: str, what: str = "done") -> dict[int, float]:
        return by_repetition(rows, who, name, what)

    return (
        name,
        _said(Spread.of(took(OURS).values())),
        _said(ratios(took(OURS), took(floor))),
        _said(ratios(took(OURS), took(PEER))),
        _said(ratios(took(OURS, "server_cpu"), took(floor, "server_cpu"))),
        _said(Spread.of(took(OURS, "cpu").values())),
        _said(Spread.of(took(OURS, "reply").values())),
    )


def _first_and_last(rows: Sequence[Row]) -> str:
    parts = []
    for who, name in ((OURS, "ours"), (best_floor(rows, START.name), "floor"), (PEER, "peer")):
        first, last = (Spread.of(by_repetition(rows, who, START.name, key).values()) for key in ("first", "last"))
        if first and last:
            parts.append(f"{name} {first} and {last} s")
    memory = Spread.of(row["memory"] for row in rows if row["who"] == OURS)
    return f"From `start` to the first and the last invite: {'; '.join(parts)}. Memory of our bot: {_said(memory)} MB."


def _requests(results: Results) -> Iterator[str]:
    found = sizes(results, "requests")
    if not found:
        return
    yield "### Requests"
    yield (
        "Sent by our bot for each operation, the last edit of the boards included, `/sync` apart; then by the floor; "
        "then what ours has more."
    )
    head = ["operation", *(f"{size}" for size in found), "more than the floor, at the largest size"]
    measured = {row["operation"] for row in results.of("requests")}
    names = [operation.name for operation in NOTED if operation.name in measured]
    yield table(head, [_requests_of(results, found, name) for name in names])


def _requests_of(results: Results, found: Sequence[Size], name: str) -> list[str]:
    cells = [name]
    more: dict[str, int] = {}
    for size in found:
        ours: Row = next((row["requests"] for row in results.of("requests", **size._asdict(), operation=name)), {})
        floor = floor_requests(results, size, name)
        syncs = ours.get("sync", 0)
        mine = sum(ours.values()) - syncs
        if not ours:
            cells.append("–")
            continue
        cells.append(f"{mine} : {sum(floor.values())} (+{syncs} syncs)" if floor else f"{mine} (+{syncs} syncs)")
        more = {kind: ours.get(kind, 0) - floor.get(kind, 0) for kind in ours if kind != "sync"}
    extra = ", ".join(f"{count} {kind}" for kind, count in more.items() if count > 0)
    return [*cells, extra or "nothing"]


def _growth(results: Results) -> Iterator[str]:
    found = sizes(results, "cycle", course=USUAL.name)
    if len(found) < 3:
        return
    yield "### Growth"
    yield (
        f"Cost against rooms + people from {found[0]} to {found[-1]}, as the exponent of a power law fitted by least "
        "squares of the logarithms: 1 is linear. Fixed costs press it below 1."
    )
    head = ("operation", "seconds, ours", "seconds, floor", "CPU of the server, ours", "CPU of the bot")
    rows = []
    for operation in USUAL.operations:
        cells = [operation.name]
        for who, what in ((OURS, "done"), (FLOOR, "done"), (OURS, "server_cpu"), (OURS, "cpu")):
            cells.append(_exponent(results, found, who, operation.name, what))
        rows.append(cells)
    yield table(head, rows)


def _exponent(results: Results, found: Sequence[Size], who: str, operation: str, what: str) -> str:
    points = []
    for size in found:
        rows = rows_of(results, size)
        name = best_floor(rows, operation) if who == FLOOR else who
        spread = Spread.of(by_repetition(rows, name, operation, what).values())
        if spread:
            points.append((float(sum(size)), max(spread.median, 0.01)))
    return number(exponent(points)) if len(points) > 2 else "–"


def _answers(results: Results) -> Iterator[str]:
    for size in sizes(results, "answers"):
        yield "### Answers"
        yield (
            f"`status` in a session of its own, and a bot on matrix-nio that only echoes, each asked once a second; "
            f"idle, and while another session starts {size.rooms} rooms for {size.people} people. The second line of "
            "each shows what the homeserver makes everybody wait."
        )
        rows = list(results.of("answers", **size._asdict()))
        lines = []
        for when in dict.fromkeys(row["when"] for row in rows):
            for who, name in ((OURS, "ours"), (PEER, "echo")):
                took = [row["seconds"] for row in rows if row["when"] == when and row["who"] == who]
                if took:
                    lines.append((when, name, str(len(took)), *map(number, quantiles(took, 50, 95, 99))))
        yield table(("when", "who", "answers", "p50, s", "p95, s", "p99, s"), lines)


def _sessions(results: Results) -> Iterator[str]:
    numbers = sorted({row["sessions"] for row in results.of("sessions")})
    if not numbers:
        return
    yield "### Many sessions at once"
    yield "Sessions of 3 rooms for 12 people, all started in the same moment, until the last invite of each."
    head = ("sessions", "all started, s", "÷ floor", "invites a second", "slowest ÷ fastest", "memory a session, MB")
    lines = []
    for count in numbers:
        rows = list(results.of("sessions", sessions=count))
        ours = [row for row in rows if row["who"] == OURS]
        took, floor = (
            {row["repetition"]: row["seconds"] for row in rows if row["who"] == who} for who in (OURS, FLOOR)
        )
        lines.append(
            (
                str(count),
                _said(Spread.of(took.values())),
                _said(ratios(took, floor)),
                _said(Spread.of(12 * count / seconds_ for seconds_ in took.values())),
                _said(Spread.of(row["slowest"] / row["fastest"] for row in ours)),
                _said(Spread.of(row["memory"] for row in ours)),
            )
        )
    yield table(head, lines)


def _idle(results: Results) -> Iterator[str]:
    rows = sorted(results.of("idle"), key=lambda row: row["halls"])
    if not rows:
        return
    yield "### Idle main rooms"
    yield (
        "From the start of the process until it has taken in its first batch. The floor is the one `/sync` request "
        "without which nobody knows of the rooms."
    )
    lines = [
        (
            str(row["halls"]),
            f"{'ours' if row['who'] == OURS else row['who']}, {row['start']} start",
            number(row["ready"]),
            *(number(row[name]) if name in row else "" for name in ("cpu", "memory", "idle_cpu_percent")),
        )
        for row in rows
    ]
    yield table(("main rooms", "who", "ready, s", "CPU until then, s", "memory, MB", "CPU when idle, %"), lines)


def _stock(results: Results) -> Iterator[str]:
    found = sizes(results, "stock")
    if not found:
        return
    yield "### Stock limits"
    yield (
        "A Synapse that nobody configured gives an account ten events at once and then one in five seconds, ten new "
        "rooms at once and then one in 62 s. Measured once for the small sizes, computed for the large ones "
        "(`bench.stock.seconds`)."
    )
    lines = []
    for operation, what in ((START.name, "until the last invite"), (END.name, "until the last is out")):
        for size in (*found, *LARGE):
            rows = results.of("stock", **size._asdict(), operation=operation, door=INVITE.name)
            measured = next((number(row["last"]) for row in rows), "–")
            lines.append((f"{operation}, {what}", str(size), measured, number(seconds(operation, size))))
    yield table(("operation", "size", "measured, s", "by the limits, s"), lines)
    yield (
        "The same start through each door, from the command until everybody can go to their room; where it was "
        "prepared, that was done before the meeting."
    )
    lines = []
    for size in found:
        took = stock_starts(results, size)
        peer = took.get(PEER)
        for door, done in took.items():
            times = f"{number(peer / done)}" if peer and door != PEER else "–"
            lines.append((str(size), door, number(done), times))
    yield table(("size", "door", "start, s", "times as fast as the peer"), lines)


def _encrypted(results: Results) -> Iterator[str]:
    for size in sizes(results, "encrypted"):
        yield f"### Encrypted rooms: {size.rooms} rooms, {size.people} people with one device each"
        rows = list(results.of("encrypted", **size._asdict()))
        lines = []
        for operation in dict.fromkeys(row["operation"] for row in rows):
            took = {
                way: {r["repetition"]: r["done"] for r in rows if r["way"] == way and r["operation"] == operation}
                for way in ("encrypted", "clear")
            }
            stalls = [
                Spread.of(1000 * r["stall"] for r in rows if r["way"] == way and r["operation"] == operation)
                for way in ("encrypted", "clear")
            ]
            lines.append(
                (
                    operation,
                    _said(Spread.of(took["encrypted"].values())),
                    _said(ratios(took["encrypted"], took["clear"])),
                    *map(_said, stalls),
                )
            )
        yield table(
            ("operation", "encrypted, s", "÷ clear", "longest stall of the event loop, ms", "… in clear rooms, ms"),
            lines,
        )
    for size in sizes(results, "sealing"):
        yield f"A broadcast alone, {size.rooms} rooms of {size.people // size.rooms}, beside stock matrix-nio:"
        lines = [
            (row["when"], row["who"], number(row["seconds"]), number(1000 * row["stall"]))
            for row in results.of("sealing", **size._asdict())
        ]
        yield table(("when", "who", "seconds", "longest stall, ms"), lines)


def _aims(results: Results) -> Iterator[str]:
    found = aims(results)
    if not found:
        return
    yield "### Aims"
    yield "What is aimed at, and what was measured; what was not measured is left out."
    yield table(("aim", "size", "measured", "met"), [aim.cells for aim in found])


def _said(spread: Spread | None) -> str:
    return "–" if spread is None else str(spread)


SECTIONS: tuple[Section, ...] = (
    _aims,
    _cycle,
    _postgres,
    _requests,
    _growth,
    _answers,
    _sessions,
    _idle,
    _stock,
    _encrypted,
)
