"""`python -m bot demo`: puts up the stage, plays, verifies, and says how it went."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from bot.testing.raw import MatrixError, RawUser
from bot.testing.synapse import SynapseFailed, SynapseMissing
from plugins.breakout.demo.play import ACT_SECONDS, CLASS, Missing, Play, Record
from plugins.breakout.demo.screen import LiveScreen, PlainScreen, Screen, Tape
from plugins.breakout.demo.stage import EARLY, MODERATORS, PARTICIPANTS, BotEnded, BotProcess, Stage, stage
from plugins.breakout.demo.verify import Check, verify

PATIENCE = 20.0
"""Seconds that one step may take."""

PATIENCE_WITH_KILLS = 60.0
"""The same where the bot may have to start several times in between."""

READING = 2.0
"""Seconds at the beginning of each act, for who watches."""


def run(arguments: list[str]) -> int:
    """Play the demo; the exit code is 0 where everything is as it should be."""
    options = _parser().parse_args(arguments)
    console = Console()
    plain = options.picture is None and (options.plain or not console.is_terminal)
    try:
        return asyncio.run(_demo(options, console, plain=plain))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (SynapseMissing, SynapseFailed, BotEnded) as fault:
        console.print(str(fault), style="red", markup=False)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="breakout-bot demo",
        description="Plays a session of 15 people on a homeserver of its own on this machine, shows it, and verifies "
        "it against that homeserver. Takes about a minute, and leaves nothing behind.",
    )
    parser.add_argument("--stay", action="store_true", help="keep homeserver and bot up, and say how to join")
    parser.add_argument("--plain", action="store_true", help="plain lines, also on a terminal")
    parser.add_argument("--encrypted", action="store_true", help="play it in end-to-end encrypted rooms")
    parser.add_argument("--moved", action="store_true", help="let the bot take people into their rooms without a tap")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the running session as an SVG file")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="kill -9 the bot at N random moments")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="repeat the moments of an earlier run")
    return parser


async def _demo(options: argparse.Namespace, console: Console, *, plain: bool) -> int:
    if (us := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, us.cancel)
    since = time.monotonic()
    kills = _kills(options, console)
    screen: Screen = PlainScreen(console) if plain else LiveScreen(console, options.picture)
    async with AsyncExitStack() as stack:
        with screen:
            screen.act("Putting up a homeserver, the bot and 14 people")
            there = await stack.enter_async_context(stage(encrypted=options.encrypted, moved=options.moved))
            try:
                outcome: Record | Missing | BotEnded = await _played(there, screen, kills, plain=plain)
            except (Missing, BotEnded) as failure:
                outcome = failure
        if not isinstance(outcome, Record):
            _explain(console, outcome, there.bot)
            return 1
        checks = [*verify(outcome, there), *_killed(kills, there.bot)]
        _report(console, checks, time.monotonic() - since)
        if options.stay:
            await _stay(console, there)
    return 0 if all(check.ok for check in checks) else 1


@dataclass(frozen=True, slots=True)
class Kill:
    """When the bot is killed: so many seconds after an act has begun."""

    act: int
    after: float


def _kills(options: argparse.Namespace, console: Console) -> Sequence[Kill]:
    """Random moments, spread over the acts: most of the time is spent in one of them."""
    if options.kills <= 0:
        return ()
    seed = random.randrange(10_000) if options.seed is None else options.seed
    console.print(f"Killing the bot {options.kills} times; --seed {seed} repeats the moments.", highlight=False)
    chance = random.Random(seed)
    acts = [chance.randint(1, len(ACT_SECONDS)) for _ in range(options.kills)]
    return [Kill(act, chance.uniform(0, ACT_SECONDS[act - 1])) for act in acts]


async def _played(there: Stage, screen: Screen, kills: Sequence[Kill], *, plain: bool) -> Record:
    """Play while everybody's client feeds the screen and the bot is killed; raises `Missing`, `BotEnded`."""
    tape = Tape(screen, there.names, there.bot_id)

    begun = [asyncio.Event() for _ in ACT_SECONDS]

    async def act(number: int, caption: str) -> None:
        screen.act(caption)
        if not plain:
            await asyncio.sleep(READING)
        begun[number - 1].set()

    play = Play(there, tape, act, PATIENCE_WITH_KILLS if kills else PATIENCE, len(kills))
    async with _in_background(*(_follow(user, tape) for user in there.people.values())):
        playing = asyncio.create_task(play.play())
        watching = asyncio.create_task(there.bot.ended_by_itself())
        killing = asyncio.create_task(_kill_all(there.bot, kills, begun))
        try:
            await asyncio.wait((playing, watching), return_when=asyncio.FIRST_COMPLETED)
            record = await (playing if playing.done() else watching)
            await killing
            return record
        finally:
            for task in (playing, watching, killing):
                task.cancel()
            await asyncio.wait((playing, watching, killing))


async def _follow(user: RawUser, tape: Tape) -> None:
    """Show what a person's client hears."""
    position = 0
    while True:
        with suppress(TimeoutError):
            tape.take(await user.wait_for(lambda _: True, after=position))
            position += 1


async def _kill_all(bot: BotProcess, kills: Sequence[Kill], begun: Sequence[asyncio.Event]) -> None:
    one_at_a_time = asyncio.Lock()

    async def kill(when: Kill) -> None:
        await begun[when.act - 1].wait()
        await asyncio.sleep(when.after)
        async with one_at_a_time:
            await bot.kill_and_restart()

    async with asyncio.TaskGroup() as killers:
        for when in kills:
            killers.create_task(kill(when))


@asynccontextmanager
async def _in_background(*work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _killed(kills: Sequence[Kill], bot: BotProcess) -> list[Check]:
    if not kills:
        return []
    wrong = () if bot.kills == len(kills) else (f"{bot.kills} times",)
    return [Check(f"The bot was killed {len(kills)} times with kill -9, and started again", wrong)]


def _report(console: Console, checks: Sequence[Check], seconds: float) -> None:
    """What was compared, each with its outcome."""
    console.print()
    console.print("Verified against the homeserver", style="bold")
    for check in checks:
        mark = Text(" ✓ ", "bold green") if check.ok else Text(" ✗ ", "bold red")
        console.print(mark.append(check.said, "" if check.ok else "red"), soft_wrap=True)
        for wrong in check.wrong:
            console.print(Text(f"     {wrong}", "red"), soft_wrap=True)
    bad = sum(not check.ok for check in checks)
    if bad:
        console.print(Text(f"{bad} of {len(checks)} differ, after {seconds:.0f} s.", "bold red"))
    else:
        console.print(Text(f"All {len(checks)} are as they should be, after {seconds:.0f} s.", "bold green"))


def _explain(console: Console, failure: Exception, bot: BotProcess) -> None:
    """Why the play broke off, with what helps to find the cause."""
    console.print(Text(f"✗ {failure}", "bold red"), soft_wrap=True)
    if isinstance(failure, Missing) and failure.heard:
        console.print("Heard last:", style="bold")
        console.print(Text(failure.heard, "dim"), soft_wrap=True)
    console.print("The bot's last words:", style="bold")
    console.print(Text(bot.last_words() or "(none)", "dim"), soft_wrap=True)


async def _stay(console: Console, there: Stage) -> None:
    """Say how to take part by hand, and let the others accept their invitations until Ctrl-C."""
    you = EARLY[0]
    others = [name for name in PARTICIPANTS if name != you]
    console.print(_how_to_join(there, you))
    async with _in_background(*(_accept_all(there.people[name]) for name in others)):
        with suppress(asyncio.CancelledError):  # Ctrl-C is how this is meant to end
            await there.bot.ended_by_itself()


async def _accept_all(user: RawUser) -> None:
    """Accept each invitation to come, as a willing participant does."""
    taken = len(user.invites)
    while True:
        with suppress(TimeoutError, MatrixError):
            invite = await user.invited(after=taken)
            taken += 1
            await user.join(invite.room)


def _how_to_join(there: Stage, you: str) -> Panel:
    moderator, passwords = MODERATORS[0], there.passwords
    text = Text.assemble(
        "The homeserver and the bot stay up until you press Ctrl-C.\n\n",
        ("In any Matrix client", "bold"),
        " (Element, Cinny, FluffyChat, gomuks …), sign in with this homeserver:\n",
        ("   homeserver   ", "dim"),
        (there.homeserver.url, "bold cyan"),
        "\n\n",
        ("As a moderator\n", "bold"),
        *_login(moderator, passwords[moderator]),
        f"\n   open the room {CLASS} and type\n",
        ("   !breakout setup 3\n   !breakout start 5m\n   !breakout broadcast Hello\n", "bold green"),
        ("   !breakout end\n   !breakout delete\n   !breakout help\n\n", "bold green"),
        ("As a participant", "bold"),
        " (in a second client or a private window)\n",
        *_login(you, passwords[you]),
        "\n   accept the invitation when Mia has started; in the breakout room type\n",
        ("   !help We have a question\n   !time\n   !back\n\n", "bold green"),
        (f"All others but {you} accept their invitations by themselves.", "dim"),
    )
    return Panel(text, title="Your turn", title_align="left", border_style="green", expand=False)


def _login(name: str, password: str) -> tuple[str | tuple[str, str], ...]:
    return (
        ("   username     ", "dim"),
        (name.lower(), "bold cyan"),
        ("\n   password     ", "dim"),
        (password, "bold cyan"),
    )
