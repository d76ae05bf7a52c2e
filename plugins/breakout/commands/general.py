"""The next step, and help."""

from __future__ import annotations

from bot.commands.help import find, one, overview
from bot.commands.refusals import NotPermitted, UnknownCommand
from bot.commands.sentences import explain
from bot.message.doc import Doc, doc
from bot.plugin import Call, Rest, Role
from plugins.breakout import views
from plugins.breakout.commands.calling import call_for_help
from plugins.breakout.commands.places import it
from plugins.breakout.declaration import plugin
from plugins.breakout.subject import Plug

SECTION = "For everybody"


def help_overview(call: Call[Plug]) -> Doc:
    """The commands that the asker may run here."""
    standing = call.standing
    return overview(plugin.commands, standing.role, standing.place, call.state.host.prefix, views.say)


def help_about(call: Call[Plug], typed: str) -> Doc:
    """All about one command that the asker may run; the list of them where nothing, or none of them, is named."""
    if not typed.strip():
        return help_overview(call)
    prefix, role = call.state.host.prefix, call.standing.role
    try:
        command = find([c for c in plugin.commands if role >= c.role], typed, prefix)
    except UnknownCommand as unknown:
        return _not_found(call, unknown)
    return one(command, prefix, views.say)


def _not_found(call: Call[Plug], unknown: UnknownCommand) -> Doc:
    """That there is no such command, or not for the asker; which one was perhaps meant, or those that there are."""
    prefix = call.state.host.prefix
    try:
        only = find(plugin.commands, unknown.typed, prefix)
    except UnknownCommand:
        if unknown.nearest is not None:
            return views.help_meant(_breakout(call), unknown.typed, unknown.nearest.path[-1])
        return views.help_unknown(unknown.typed, help_overview(call))
    return doc(explain(NotPermitted(only), prefix).blocks, help_overview(call).blocks)


def _breakout(call: Call[Plug]) -> str:
    """What commands begin with."""
    return f"{call.state.host.prefix}{call.state.config.names[0]}"


def names_no_command(call: Call[Plug], typed: str) -> bool:
    """Whether words are there and are no command's name, whoever may run it: they tell of a need."""
    try:
        return bool(typed.strip()) and find(plugin.commands, typed, call.state.host.prefix) is None
    except UnknownCommand:
        return True


@plugin.command("breakout", examples=("breakout",), section=SECTION)
async def next_step(call: Call[Plug]) -> Doc:
    """Says what you can do next."""
    about = it(call)
    return views.next_step(await about.scene(), about.asker, call.standing.role)


@plugin.command(
    "breakout help",
    aliases=("breakout commands",),
    usage=("", "start"),
    examples=("breakout help", "breakout help start"),
    section=SECTION,
)
async def show_help(call: Call[Plug], about: Rest = "") -> Doc:
    """Lists the commands that you may run, or says all about one."""
    if call.standing.role < Role.MODERATOR and names_no_command(call, about):
        return await call_for_help(call, about)
    return help_about(call, about)
