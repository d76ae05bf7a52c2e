"""What a homeserver says to everybody: whether it is there, new enough, of our time, and open to strangers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from bot.checks.finding import Finding
from bot.clock import Clock
from bot.config import AccessConfig
from bot.errors import MatrixError, Temporary
from bot.explained import in_words, other_name
from bot.matrix.http import Ask, asking
from bot.matrix.ids import server_of
from bot.matrix.server import About, about, server_name, too_old, ways_to_register

MOST_APART = timedelta(seconds=30)
"""So far the two clocks may be apart; the header that tells has whole seconds, and the way takes some."""

_NO_CHECK = frozenset({"m.login.dummy", "m.login.terms"})
_OPEN = _NO_CHECK | {"m.login.recaptcha", "m.login.email.identity", "m.login.msisdn"}
"""What anybody can do who has an address, or nothing at all."""

_STRANGER = "stranger-8d1f0c"


async def homeserver(url: str, clock: Clock, access: AccessConfig, me: str) -> AsyncIterator[Finding]:
    """What was found; where nothing answers, that is all."""
    async with asking(url) as ask:
        try:
            found = await about(ask)
        except MatrixError as error:
            fault, _, remedy = in_words(url, error).partition(". ")
            yield Finding("homeserver", ok=False, message=_small(fault), remedy=_small(remedy))
            return
        yield _versions(url, found)
        if wrong := other_name(me, await server_name(ask)):
            fault, _, remedy = wrong.partition(". ")
            yield Finding("server-name", ok=False, message=_small(fault), remedy=_small(remedy))
        if found.time is not None:
            yield _clock(found.time, clock.now())
        finding = await _registration(ask, access, me)
        if finding is not None:
            yield finding


def _versions(url: str, found: About) -> Finding:
    if found.is_new_enough:
        return Finding("homeserver", ok=True, message=f"{url} answers, with Matrix {found.newest[0]}.{found.newest[1]}")
    fault, _, remedy = too_old(found).partition(". ")
    return Finding("homeserver", ok=False, message=_small(fault), remedy=_small(remedy))


def _clock(theirs: datetime, ours: datetime) -> Finding:
    apart = ours - theirs
    if abs(apart) <= MOST_APART:
        return Finding("clock", ok=True, message="the clocks here and at the homeserver agree")
    which = "ahead of" if apart > timedelta() else "behind"
    return Finding(
        "clock",
        ok=False,
        message=f"the clock here is {abs(apart).total_seconds():.0f} s {which} the homeserver's: the bot says wrong "
        "times",
        remedy="set the wrong one by time service, for example `sudo timedatectl set-ntp true`",
    )


async def _registration(ask: Ask, access: AccessConfig, me: str) -> Finding | None:
    """Who may invite the bot, beside who may become somebody there; None where the homeserver does not tell now."""
    server = server_of(me)
    if access.may_invite(f"@{_STRANGER}:{_STRANGER}.invalid", me):
        return Finding(
            "invites",
            ok=True,
            message="anybody in all of Matrix may invite the bot, as access.allowed_inviters says",
            remedy=f'if that is too wide: `access: {{allowed_inviters: ["@*:{server}"]}}`',
        )
    try:
        ways = await ways_to_register(ask)
    except Temporary:
        return None
    is_open = next((way for way in sorted(ways, key=len) if way <= _OPEN), None)
    if is_open is None or not access.may_invite(f"@{_STRANGER}:{server}", me):
        return Finding("invites", ok=True, message="strangers cannot invite the bot")
    how = "without any check" if is_open <= _NO_CHECK else "with an e-mail address or a captcha"
    return Finding(
        "invites",
        ok=False,
        message=f"strangers can use the bot: everybody may register at {server} {how}, and every user there may invite "
        "the bot",
        remedy=f'name those who may: `access: {{allowed_inviters: ["@teacher:{server}"]}}`, or close the registration '
        "(Synapse: `enable_registration: false`)",
    )


def _small(sentence: str) -> str:
    """A sentence as a part of a line."""
    return sentence[:1].lower() + sentence[1:].rstrip(".") if sentence else ""
