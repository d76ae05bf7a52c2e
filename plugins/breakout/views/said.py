"""Each notice in words."""

from __future__ import annotations

from datetime import timedelta

from bot.message.doc import Bullets, Doc, Inline, Name, Para, Quote, Relayed, doc
from plugins.breakout.domain import notices as n
from plugins.breakout.domain.model import Door, Mode, OnEnd, Phase, Room, Session
from plugins.breakout.scene import Scene
from plugins.breakout.views.boards import KEYCAPS
from plugins.breakout.views.doors import (
    delete_soon,
    main_prepared,
    open_started,
    room_closed,
    room_ready,
    welcome_prepared,
)
from plugins.breakout.views.words import from_now, length, listed, mentioned, numbered, people, say, say_n

MOST_LINKS = 20
"""Rooms linked one by one in the start message."""


def said(notice: n.Notice, scene: Scene) -> Doc:
    """The notice as it is said where it belongs; `at_desk` and `to_asker` word the second place of some."""
    match notice:
        case n.WelcomeRoom() | n.WelcomeAgain():
            return welcome(scene, notice.room)
        case n.WelcomePrepared():
            return welcome_prepared(scene, notice.room)
        case n.MainPrepared():
            return main_prepared(scene)
        case n.MainStarted() if scene.plan.door is Door.OPEN:
            return open_started(scene)
        case n.MainStarted():
            return main_started(scene)
        case n.RoomReady():
            return room_ready(scene, notice)
        case n.ClockBegan():
            return doc(say("This room closes at {end}.", end=scene.clock(notice.ends_at)))
        case n.NotYetIn() if scene.plan.door is Door.OPEN:
            return doc(
                say(
                    "{people}: your breakout room is waiting. `{p} me` shows its link.",
                    people=mentioned(scene, notice.users),
                    p=scene.prefix,
                ),
                say("If it does not open, `{p} rejoin` invites you.", p=scene.prefix),
            ).aloud()
        case n.NotYetIn():
            return doc(
                say(
                    "{people}: your breakout room is waiting. Open the invitation and accept.",
                    people=mentioned(scene, notice.users),
                ),
                say("`{p} me` shows your room, `{p} rejoin` invites you again.", p=scene.prefix),
            ).aloud()
        case n.ChooseNow():
            return doc(
                say(
                    "{people}: please choose a room now, with its number on the board.",
                    people=mentioned(scene, notice.users),
                ),
                say("Or type `{p} choose 2`.", p=scene.prefix),
            ).aloud()
        case n.WelcomeNewcomers():
            return welcome_newcomers(scene, notice)
        case n.PleaseMove():
            room = scene.room(notice.to_room)
            return doc(say("{who}, please go to {room}.", who=mentioned(scene, notice.users), room=room)).aloud()
        case n.RoomRemoved():
            return doc(
                say(
                    "{room} is gone. {people}: you are back here for now.",
                    room=notice.name,
                    people=mentioned(scene, notice.users),
                )
            ).aloud()
        case n.TaskSet():
            return doc(say("The task: {task}", task=notice.text)).aloud(room=True)
        case n.WarningGiven():
            return warning(scene, notice)
        case n.TimeChanged():
            return time_changed(scene, notice)
        case n.ClosingNotice():
            return closing(scene, notice)
        case n.RoomClosed():
            return room_closed(scene)
        case n.MainEnded():
            read = [say("You can still read in yours.")] if scene.plan.kept else []
            return doc(say("Breakout rooms are closed; everybody is back here."), _why(notice.why), read)
        case n.PassedWhileDown():
            return doc(
                say("I was away at {moment}, when this was due; it is done now.", moment=scene.clock(notice.moment))
            )
        case n.MaxDurationSoon():
            return doc(
                say("The breakout rooms close by themselves at {end}.", end=scene.clock(notice.at)),
                say("`{p} end` closes them before.", p=scene.prefix),
            )
        case n.DeleteSoon():
            return delete_soon(scene, notice)
        case n.Deleted():
            return doc(say("The breakout rooms have been deleted, as announced."))
        case _:
            return _about_people(notice, scene)


def _about_people(notice: n.Notice, scene: Scene) -> Doc:
    match notice:
        case n.LateSeated():
            who, room = scene.mention(notice.user), scene.room(notice.room)
            if scene.is_brought_in(notice.user):
                return doc(
                    say("{who}, welcome: you are taken to your breakout room, {room}.", who=who, room=room)
                ).aloud()
            if scene.plan.door is Door.OPEN:
                return doc(
                    say("{who}, welcome: open the link of your breakout room, {room}.", who=who, room=room)
                ).aloud()
            return doc(
                say("{who}, welcome: your breakout room is {room}. Open the invitation and accept.", who=who, room=room)
            ).aloud()
        case n.LateAsked():
            return late_asked(scene, notice)
        case n.LateChooses():
            return doc(
                say("{who}, welcome: choose a room with its number on the board.", who=scene.mention(notice.user)),
                say("Or type `{p} choose 2`.", p=scene.prefix),
            ).aloud()
        case n.WalkedIntoFull():
            free = listed([scene.room(number) for number in notice.free])
            where = (
                say("There is space in {rooms}.", rooms=free) if free else say("Every room is full; ask a moderator.")
            )
            head = say("{who}, {room} is full.", who=scene.mention(notice.user), room=scene.room(notice.room))
            return doc(head, where).aloud()
        case n.RoomMadeAnew():
            return doc(
                say("I was taken out of {room}, so I made it anew.", room=scene.room_name(notice.room)),
                say("{people}: open the new invitation and accept.", people=mentioned(scene, notice.users)),
            ).aloud()
        case n.Unattended():
            return doc(
                say(
                    "No moderator is here any more. The breakout rooms close by themselves at {end}.",
                    end=scene.clock(notice.at),
                ),
                say("`{s}back` in a breakout room leads back here before.", s=scene.sign),
            )
        case n.OutsiderInvited():
            return doc(
                say(
                    "{who}, who is not in {main}, was invited to {room} by {by}: a guest there until the rooms close.",
                    who=scene.name(notice.user),
                    main=scene.main_name,
                    room=scene.room(notice.room),
                    by=scene.name(notice.by),
                )
            )
        case n.NotesLost():
            return notes_lost(scene, notice)
        case n.Promoted():
            return doc(say("{who} is a moderator now, and has no seat any more.", who=scene.name(notice.user)))
        case n.HelpAsked():
            return help_asked(scene, notice, at_desk=True)
        case n.HelpWithoutSeat():
            return help_without_seat(scene, notice, at_desk=True)
        case n.HelpReminded():
            moderators = mentioned(scene, sorted(scene.hall.moderators))
            head = say(
                "{moderators}: {room} still waits for help.", moderators=moderators, room=scene.room(notice.room)
            )
            how = say("Tap 👀 or type `{p} claim {number}`.", p=scene.prefix, number=notice.room)
            return Doc((head, how), loud=True, keycaps=("👀", "✅"))
        case n.HelpClaimed():
            return doc(say("{who} is coming.", who=scene.name(notice.moderator)))
        case n.HelpUnclaimed():
            return doc(say("{who} cannot come after all; the request is open again.", who=scene.name(notice.moderator)))
        case n.HelpClosed():
            return doc(say("The request of {room} is closed.", room=scene.room(notice.room)))
        case _:
            raise TypeError(notice)


def welcome(scene: Scene, number: int) -> Doc:
    """Who is in the room, the task, until when, how to ask for help, who can read, how it ends."""
    session, room = scene.plan, scene.plan.room(number)
    users = [seat.user for seat in session.people_of(number)]
    head = say("Welcome to **{room}**.", room=room.name)
    who = [say_n("Here is {people}.", "Here are {people}.", len(users), people=people(scene, users))] if users else []
    task = [say("Your task: {task}", task=room.task)] if room.task else []
    if session.ends_at is not None:
        until = [say("The room closes at {end}.", end=scene.clock(session.ends_at))]
    elif session.limit is not None:
        until = [say("You have {time} from when everybody is invited.", time=length(session.limit))]
    else:
        until = []
    call = (
        [say("If you are in the call of {main}, leave it and tap the call button here.", main=scene.main_name)]
        if scene.hall.in_call
        else []
    )
    help_ = say("Need a moderator? Tap 🙋 or type `{s}help`.", s=scene.sign)
    end = say("Moderators can enter and read. At the end everybody goes back to {main}.", main=scene.main_link())
    return Doc(doc(head, who, task, until, call, help_, end).blocks, keycaps=("🙋",))


def welcome_newcomers(scene: Scene, notice: n.WelcomeNewcomers) -> Doc:
    """What they have missed: the task, until when, how to ask for help."""
    session, room = scene.plan, scene.plan.room(notice.room)
    # Who was taken there may look for the room from which they were taken.
    taken = any(scene.is_brought_in(user) for user in notice.users)
    who = mentioned(scene, notice.users) if taken else people(scene, notice.users)
    head = say_n(
        "{who} has come: welcome to **{room}**.",
        "{who} have come: welcome to **{room}**.",
        len(notice.users),
        who=who,
        room=room.name,
    )
    task = [say("Your task: {task}", task=room.task)] if room.task else []
    until = [say("The room closes at {end}.", end=scene.clock(session.ends_at))] if session.ends_at else []
    help_ = say("Need a moderator? Type `{s}help`. Moderators can enter and read.", s=scene.sign)
    told = doc(head, task, until, help_)
    return told.aloud() if taken else told


def main_started(scene: Scene) -> Doc:
    """The rooms are open: until when, and how to get in."""
    session = scene.plan
    if session.ends_at is not None:
        head = say("Breakout rooms are open until {end}.", end=scene.clock(session.ends_at))
    else:
        head = say("Breakout rooms are open.")
    example = next((room for room in session.open_rooms if room.room_id), session.open_rooms[0])
    name = f"{example.name} · {scene.main_name}"
    if session.mode is Mode.CHOOSE:
        how = say("Choose a room with its number on the board, or `{p} choose 2`.", p=scene.prefix)
    elif scene.brings_in:
        how = say("You are taken to your room: look for it in your list of rooms, such as **{name}**.", name=name)
    elif _all_were_invited_before(session):
        how = say("Go to your room, such as **{name}**: it is in your list of rooms, or an invitation.", name=name)
    else:
        how = say("Open the invitation, such as **{name}**, and accept.", name=name)
    stay = say("You stay in this room too. Tap 🔁 for a new invitation.")
    rooms = session.open_rooms
    links: list[Bullets] = []
    if len(rooms) <= MOST_LINKS:
        links = [Bullets(tuple(_link(scene, room) for room in rooms))]
    return Doc(doc(head, how, stay, links).aloud().blocks, loud=True, keycaps=("🔁",))


def _all_were_invited_before(session: Session) -> bool:
    """Whether nobody is invited by the start: by `prepare` or a former round. It holds still when people come in."""
    invited = [seat.invited_at for seat in session.seats.values()]
    began = session.started_at
    return began is not None and all(moment is not None and moment < began for moment in invited)


def _link(scene: Scene, room: Room) -> Para:
    return Para((scene.room(room.number),)) if room.room_id else say("{room} (not ready yet)", room=room.name)


def warning(scene: Scene, notice: n.WarningGiven) -> Doc:
    """So much is left; the first says that this chat will be gone, the last pings."""
    left = length(timedelta(seconds=notice.seconds))
    head = say("{left} left: this room closes at {end}.", left=left, end=scene.clock(notice.ends_at))
    gone = _what_will_be_gone(scene) if notice.first else ()
    quiet = doc(head, gone)
    return quiet.aloud(room=True) if notice.last else quiet.aloud()


def _what_will_be_gone(scene: Scene) -> tuple[Para, ...]:
    if scene.settings.on_end is OnEnd.KEEP:
        return ()
    return (say("You cannot open this chat after the end: save what you need."),)


def time_changed(scene: Scene, notice: n.TimeChanged) -> Doc:
    """The end has moved."""
    again = [say("The rooms stay open after all.")] if notice.reopened else []
    if notice.ends_at is None:
        return doc(again, say("There is no set end any more."))
    left = from_now(notice.ends_at - scene.now)
    return doc(again, say("This room now closes at {end}, in {left}.", end=scene.clock(notice.ends_at), left=left))


def closing(scene: Scene, notice: n.ClosingNotice) -> Doc:
    """It closes soon."""
    left = from_now(notice.ends_at - scene.now)
    head = say("This room closes in {left}, at {end}.", left=left, end=scene.clock(notice.ends_at))
    gone = () if scene.plan.forewarned else _what_will_be_gone(scene)
    return doc(head, gone).aloud(room=True)


def _why(why: n.EndReason) -> tuple[Para, ...]:
    match why:
        case n.EndReason.TIMER:
            return (say("The time is up."),)
        case n.EndReason.MAX_DURATION:
            return (say("They were open as long as they may be."),)
        case _:
            return ()


def late_asked(scene: Scene, notice: n.LateAsked) -> Doc:
    """The moderators' one-tap choice."""
    rooms = scene.plan.open_rooms
    choice = numbered(rooms) if len(rooms) <= len(KEYCAPS) else ()
    caps = tuple(KEYCAPS[room.number - 1] for room in rooms if room.number <= len(KEYCAPS))
    head = say("{who} has come and has no seat.", who=scene.name(notice.user))
    how = say("Tap the number of a room, or type `{p} assign {user} to 1`.", p=scene.prefix, user=notice.user)
    return Doc(doc(head, [say("{rooms}", rooms=choice)] if choice else [], how).blocks, keycaps=caps)


def help_asked(scene: Scene, notice: n.HelpAsked, *, at_desk: bool) -> Doc:
    """To the moderators; in the main room without the text, which is the room's own."""
    moderators = mentioned(scene, sorted(scene.hall.moderators))
    again = notice.times > 1
    values: dict[str, Inline | tuple[Inline, ...]] = {
        "moderators": moderators,
        "who": scene.name(notice.user),
        "room": scene.room(notice.room),
        "main": Name(scene.main_name),
    }
    if notice.in_main and again:
        head = say("{moderators}: {who} asks for help again, in {main}. Their room is {room}.", **values)
    elif notice.in_main:
        head = say("{moderators}: {who} asks for help in {main}. Their room is {room}.", **values)
    elif again:
        head = say("{moderators}: {who} in {room} asks for help again.", **values)
    else:
        head = say("{moderators}: {who} in {room} asks for help.", **values)
    text = _their_words(notice.text) if at_desk else []
    how = say("Tap 👀 to go there, ✅ when it is done; or `{p} claim {number}`.", p=scene.prefix, number=notice.room)
    return Doc(doc(head, text, how).blocks, loud=True, keycaps=("👀", "✅"))


def _their_words(text: str) -> list[Quote]:
    return [Quote((Para((Relayed(text),)),))] if text else []


def help_without_seat(scene: Scene, notice: n.HelpWithoutSeat, *, at_desk: bool) -> Doc:
    """To the moderators: somebody without a room needs them."""
    head = say(
        "{moderators}: {who} asks for help in {main}. They have no breakout room.",
        moderators=mentioned(scene, sorted(scene.hall.moderators)),
        who=scene.name(notice.user),
        main=scene.main_name,
    )
    how = say("`{p} assign {user} to 1` gives them one.", p=scene.prefix, user=notice.user)
    return doc(head, _their_words(notice.text) if at_desk else [], how).aloud()


def on_the_way(scene: Scene, user: str, moderator: str) -> Doc:
    """To the asker in the main room: who is coming."""
    told = say("{who}, {moderator} is on the way to you.", who=scene.mention(user), moderator=scene.name(moderator))
    return doc(told).aloud()


def still_waiting(scene: Scene, user: str) -> Doc:
    """To the asker, where nobody has come."""
    return doc(
        say("{who}, the moderators were told again; please wait a little longer.", who=scene.mention(user))
    ).aloud()


def notes_lost(scene: Scene, notice: n.NotesLost) -> Doc:
    """To the moderators: what is known of the session, and what is not."""
    p, rooms = scene.prefix, listed([scene.room(room.number) for room in scene.plan.open_rooms])
    head = say("I have lost my notes, and have found these breakout rooms again: {rooms}.", rooms=rooms)
    seats = say("Whoever is in a room or invited to it has their seat there. `{p} assign` mends what is wrong.", p=p)
    if scene.plan.is_prepared:
        time = [say("They are prepared; `{p} start` opens them.", p=p)]
    elif scene.plan.phase is Phase.ENDED:
        time = [say("They are closed; `{p} start` opens them again.", p=p)]
    elif notice.ends_at is not None:
        time = [say("They close at {end}, as before.", end=scene.clock(notice.ends_at))]
    else:
        time = [say("I know of no set end: `{p} timer 10m` sets one, `{p} end` brings everybody back.", p=p)]
    if notice.put_back:
        gone = say("Requests for help and who sits out are those of the last backup; what was typed since is not done.")
    else:
        gone = say("Requests for help and who sat out are lost; what was typed while I was away is not done.")
    return doc(head, seats, time, gone)


def plan_lost(scene: Scene) -> Doc:
    """To the moderators: what was planned and not begun is gone."""
    return doc(
        say("I have lost my notes. No breakout rooms are open; a plan that was not started is gone."),
        say("Please set it up again, such as `{p} setup 4`.", p=scene.prefix),
    )


def plan_put_back(scene: Scene) -> Doc:
    """To the moderators: what was planned and not begun is as it was on the day of the backup."""
    return doc(
        say("I have lost my notes, and the plan here is that of the last backup. No breakout rooms are open."),
        say("`{p} status` shows it, `{p} setup` makes another one.", p=scene.prefix),
    )


def broadcast(scene: Scene, by: str, text: Relayed) -> Doc:
    """A text of a moderator for the rooms; it pings the room."""
    return doc(say("**{who}**: {text}", who=scene.name(by), text=text)).aloud(room=True)


def passed_on(scene: Scene, by: str, author: str, text: Relayed) -> Doc:
    """Somebody's message that a moderator passes on to the rooms; it pings them as a text of the moderator does."""
    if author == by:
        return broadcast(scene, by, text)
    passed = say("**{author}**, passed on by {who}: {text}", author=scene.name(author), who=scene.name(by), text=text)
    return doc(passed).aloud(room=True)


def shown_by(scene: Scene, by: str, author: str, *, ping: bool) -> Doc:
    """Above a picture, a file or a poll that a moderator passes on: whose it is; it pings as a text would."""
    if author == by:
        line = say("**{who}** shows you this:", who=scene.name(by))
    else:
        line = say("**{author}** sent this, passed on by {who}:", author=scene.name(author), who=scene.name(by))
    return doc(line).aloud(room=True) if ping else doc(line)


def taken_out(scene: Scene, by: str | None) -> Doc:
    """At the desk: the bot is out of the main room, and with it the session is over."""
    if by is None:
        head = say(
            "I am no longer in {main}: its breakout rooms are closed, and so is this desk.", main=scene.main_link()
        )
    else:
        head = say(
            "{by} has removed me from {main}: its breakout rooms are closed, and so is this desk.",
            by=scene.name(by),
            main=scene.main_link(),
        )
    return doc(head, say("Invite me there again, and `{p} setup` begins anew.", p=scene.prefix)).aloud()


def desk_welcome(scene: Scene) -> Doc:
    """The first message at the desk."""
    return doc(
        say("This is the desk of the moderators of {main}.", main=scene.main_link()),
        say(
            "Help requests and the full board come here, and every command works here, such as `{p} status`.",
            p=scene.prefix,
        ),
        say("While you are here you can enter each breakout room by its link."),
    )
