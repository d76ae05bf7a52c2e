"""A plain Matrix client that shares no code with the bot: the people whom tests and the demo play."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import uuid4

import aiohttp

Json: TypeAlias = dict[str, Any]
_T = TypeVar("_T")

SYNC_FILTER = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {"ephemeral": {"types": []}, "account_data": {"types": []}, "timeline": {"limit": 100}},
}
"""What people's clients want to hear; 100 is the longest timeline that Synapse gives (`filter_timeline_limit`)."""

LONG_POLL = 30.0
"""Seconds that the server may hold a sync request open."""


class MatrixError(Exception):
    """The homeserver's refusal of one request. `retry_after_ms` is set for 429 only."""

    def __init__(self, status: int, errcode: str, error: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{status} {errcode}: {error}")
        self.status = status
        self.errcode = errcode
        self.error = error
        self.retry_after_ms = retry_after_ms


def open_session() -> aiohttp.ClientSession:
    """A session that many users may share: each of them holds one connection in its sync."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120))


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    token: str | None = None,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    raw: bytes | None = None,
    content_type: str = "application/json",
) -> Any:
    """Send one request and return the JSON of the answer; raise `MatrixError` for every other status.

    `body` is sent as JSON, `raw` as it is. Errors of the connection come through as `aiohttp.ClientError`.
    """
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": content_type} if data is not None else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with session.request(method, url, params=query, data=data, headers=headers) as response:
        text = await response.text()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if response.status == 200 and answer is not None:
            return answer
        fault = answer if isinstance(answer, dict) else {}
        raise MatrixError(
            response.status,
            str(fault.get("errcode", "")),
            str(fault.get("error", text[:200])),
            fault.get("retry_after_ms"),
        )


def path(*parts: str) -> str:
    """The parts, percent-encoded and joined, below the client-server API's version 3."""
    return "/_matrix/client/v3/" + "/".join(quote(part, safe="") for part in parts)


def in_thread(root: str, latest: str | None = None) -> Json:
    """The `relates_to` of a message in the thread that began at `root`, as clients write it."""
    return {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": latest or root},
    }


def in_reply_to(event_id: str) -> Json:
    """The `relates_to` of a reply."""
    return {"m.in_reply_to": {"event_id": event_id}}


def pill(user_id: str, name: str) -> str:
    """A mention as it stands in `formatted_body`."""
    return f'<a href="https://matrix.to/#/{quote(user_id, safe="@:")}">{name}</a>'


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as it came in the user's own sync.

    `section` is where it stood: `timeline`, `state` (of a joined room), `invite` (stripped) or `leave`.
    """

    room: str
    section: str
    event: Json

    @property
    def type(self) -> str:
        return str(self.event.get("type", ""))

    @property
    def sender(self) -> str:
        return str(self.event.get("sender", ""))

    @property
    def event_id(self) -> str:
        """Empty for stripped state."""
        return str(self.event.get("event_id", ""))

    @property
    def state_key(self) -> str | None:
        return self.event.get("state_key")

    @property
    def content(self) -> Json:
        content = self.event.get("content")
        return content if isinstance(content, dict) else {}

    @property
    def body(self) -> str:
        """What a message says now: the new text where it is an edit."""
        newer = self.content.get("m.new_content")
        return str((newer if isinstance(newer, dict) else self.content).get("body", ""))

    def __str__(self) -> str:
        what = repr(self.body) if self.body else json.dumps(self.content, ensure_ascii=False)[:160]
        key = "" if self.state_key is None else f" [{self.state_key}]"
        return f"{self.room} {self.section} {self.sender} {self.type}{key}: {what}"


@dataclass(frozen=True, slots=True)
class Invite:
    """An invitation, with what the stripped state tells of the room."""

    room: str
    sender: str
    reason: str
    name: str
    state: tuple[Json, ...]


class RawUser:
    """One person at a homeserver; acts by requests, hears by a sync of their own.

    With `masquerade` the token is an application service's and the user is named in each request. The sync
    begins with the first wait or with `listen()`; `close()` ends it, and leaves the session to its owner.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        user_id: str,
        token: str,
        *,
        name: str | None = None,
        masquerade: bool = False,
    ) -> None:
        self.user_id = user_id
        self.name = name or user_id[1:].partition(":")[0]
        self.token = token
        self.transcript: list[Seen] = []
        self.invites: list[Invite] = []
        self._session = session
        self._url = url.rstrip("/")
        self._as = {"user_id": user_id} if masquerade else {}
        self._news = asyncio.Condition()
        self._listening: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"RawUser({self.user_id})"

    @classmethod
    async def login(cls, session: aiohttp.ClientSession, url: str, localpart: str, password: str) -> Self:
        """A user on a new device of their own; raises `MatrixError` where the password is wrong."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": localpart},
            "password": password,
        }
        answer = await ask(session, "POST", url.rstrip("/") + path("login"), body=body)
        return cls(session, url, answer["user_id"], answer["access_token"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, method: str, where: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """Any request as this user; `where` is a path such as `path("rooms", room, "state")`."""
        if body is None and method != "GET":
            body = {}
        return await ask(
            self._session,
            method,
            self._url + where,
            token=self.token,
            query={**(query or {}), **self._as},
            body=body,
        )

    # ------------------------------------------------------------------------------ rooms and members

    async def create_room(
        self,
        name: str | None = None,
        *,
        invite: Iterable[RawUser | str] = (),
        powers: Mapping[str, int] | None = None,
        encrypted: bool = False,
        version: str | None = None,
        **content: Any,
    ) -> str:
        """Make a private room and return its id; `content` goes into the request of `createRoom` as it is.

        `powers` are levels of users besides the creator (who stands in the list up to version 11 only).
        """
        request: Json = {"preset": "private_chat", "invite": [_id(user) for user in invite], **content}
        if name is not None:
            request["name"] = name
        if version is not None:
            request["room_version"] = version
        if encrypted:
            event = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
            request["initial_state"] = [*request.get("initial_state", []), event]
        room = str((await self.call("POST", path("createRoom"), request))["room_id"])
        if powers:
            await self.set_powers(room, powers)
        return room

    async def join(self, room: str, via: Iterable[str] = ()) -> str:
        """Join a room by id or alias, and return its id."""
        query = "&".join(f"via={quote(server)}" for server in via)
        where = path("join", room) + (f"?{query}" if query else "")
        return str((await self.call("POST", where))["room_id"])

    async def leave(self, room: str, reason: str | None = None) -> None:
        """Leave a room, or decline its invite."""
        await self.call("POST", path("rooms", room, "leave"), _reasoned({}, reason))

    async def forget(self, room: str) -> None:
        await self.call("POST", path("rooms", room, "forget"))

    async def invite(self, room: str, user: RawUser | str, reason: str | None = None) -> None:
        await self._member(room, "invite", user, reason)

    async def kick(self, room: str, user: RawUser | str, reason: str | None = None) -> None:
        await self._member(room, "kick", user, reason)

    async def ban(self, room: str, user: RawUser | str, reason: str | None = None) -> None:
        await self._member(room, "ban", user, reason)

    async def unban(self, room: str, user: RawUser | str, reason: str | None = None) -> None:
        await self._member(room, "unban", user, reason)

    async def _member(self, room: str, verb: str, user: RawUser | str, reason: str | None) -> None:
        await self.call("POST", path("rooms", room, verb), _reasoned({"user_id": _id(user)}, reason))

    async def members(self, room: str, membership: str = "join") -> set[str]:
        """The ids of everybody who has this membership in the room."""
        answer = await self.call("GET", path("rooms", room, "members"), query={"membership": membership})
        return {event["state_key"] for event in answer["chunk"]}

    async def joined_rooms(self) -> set[str]:
        return set((await self.call("GET", path("joined_rooms")))["joined_rooms"])

    async def upgrade(self, room: str, version: str) -> str:
        """Replace the room by one of another version, and return the new id."""
        answer = await self.call("POST", path("rooms", room, "upgrade"), {"new_version": version})
        return str(answer["replacement_room"])

    async def set_name(self, name: str) -> None:
        """Change the display name, in all rooms."""
        await self.call("PUT", path("profile", self.user_id, "displayname"), {"displayname": name})
        self.name = name

    # ------------------------------------------------------------------------------------------- state

    async def state(self, room: str) -> list[Json]:
        """All current state events of the room."""
        return list(await self.call("GET", path("rooms", room, "state")))

    async def state_of(self, room: str, type_: str, key: str = "") -> Json | None:
        """The content of one state event; None where there is none."""
        try:
            content: Json = await self.call("GET", path("rooms", room, "state", type_, key))
        except MatrixError as fault:
            if fault.errcode == "M_NOT_FOUND":
                return None
            raise
        return content

    async def set_state(self, room: str, type_: str, content: Json, key: str = "") -> str:
        """Write a state event and return its id."""
        return str((await self.call("PUT", path("rooms", room, "state", type_, key), content))["event_id"])

    async def set_powers(self, room: str, users: Mapping[str, int | None], **levels: Any) -> None:
        """Change the levels of these users (None takes the entry away) and of top-level keys, keeping the rest."""
        content = await self.state_of(room, "m.room.power_levels") or {}
        merged = {**content.get("users", {}), **users}
        content["users"] = {user: level for user, level in merged.items() if level is not None}
        await self.set_state(room, "m.room.power_levels", {**content, **levels})

    # ---------------------------------------------------------------------------------------- messages

    async def send(self, room: str, type_: str, content: Json) -> str:
        """Send any event and return its id."""
        where = path("rooms", room, "send", type_, uuid4().hex)
        return str((await self.call("PUT", where, content))["event_id"])

    async def say(
        self,
        room: str,
        text: str,
        *,
        html: str | None = None,
        relates_to: Json | None = None,
        mentions: Iterable[RawUser | str] = (),
        msgtype: str = "m.text",
    ) -> str:
        """Send a message and return its id; `html` becomes its `formatted_body`."""
        content = _message(text, html, msgtype)
        named = [_id(user) for user in mentions]
        content["m.mentions"] = {"user_ids": named} if named else {}
        if relates_to is not None:
            content["m.relates_to"] = relates_to
        return await self.send(room, "m.room.message", content)

    async def edit(self, room: str, event_id: str, text: str, *, html: str | None = None) -> str:
        """Replace the text of an own message, and return the id of the edit."""
        content = _message(f"* {text}", None if html is None else f"* {html}", "m.text")
        content["m.new_content"] = {**_message(text, html, "m.text"), "m.mentions": {}}
        content["m.mentions"] = {}
        content["m.relates_to"] = {"rel_type": "m.replace", "event_id": event_id}
        return await self.send(room, "m.room.message", content)

    async def react(self, room: str, event_id: str, key: str) -> str:
        """React to an event, and return the id of the reaction."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self.send(room, "m.reaction", {"m.relates_to": relation})

    async def redact(self, room: str, event_id: str, reason: str | None = None) -> None:
        """Remove an event's content."""
        await self.call("PUT", path("rooms", room, "redact", event_id, uuid4().hex), _reasoned({}, reason))

    async def messages(self, room: str, limit: int = 100) -> list[Json]:
        """The latest events of the room, oldest first, as the server tells them to this user."""
        query = {"dir": "b", "limit": str(limit)}
        answer = await self.call("GET", path("rooms", room, "messages"), query=query)
        return list(reversed(answer["chunk"]))

    async def upload(self, data: bytes, content_type: str, name: str) -> str:
        """Store a file on the server and return its `mxc:` address."""
        answer = await ask(
            self._session,
            "POST",
            f"{self._url}/_matrix/media/v3/upload",
            token=self.token,
            query={"filename": name, **self._as},
            raw=data,
            content_type=content_type,
        )
        return str(answer["content_uri"])

    # ----------------------------------------------------------------------------------------- hearing

    @property
    def heard(self) -> int:
        """How much was heard so far: give it to `wait_for(after=…)` to be told only of what comes later."""
        return len(self.transcript)

    def listen(self, pause: float = 0.0) -> None:
        """Begin to sync in the background, once.

        `pause`: seconds between two questions; whoever measures a server has it tell of much at once.
        """
        if self._listening is None:
            self._listening = asyncio.create_task(self._sync(pause), name=f"sync of {self.user_id}")

    async def close(self) -> None:
        """Stop listening."""
        task, self._listening = self._listening, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError, MatrixError):
                await task

    async def wait_for(self, wanted: Callable[[Seen], bool], timeout: float = 10.0, *, after: int = 0) -> Seen:
        """The first event that is `wanted`, among what was heard already and what comes within `timeout` s.

        `after` is an earlier value of `heard`; what came before it does not count. Raises `TimeoutError`,
        which tells what was heard last, or the error that ended the sync.
        """
        return await self._first(self.transcript, wanted, timeout, after)

    async def message(self, part: str, room: str | None = None, timeout: float = 10.0, *, after: int = 0) -> Seen:
        """The first message of somebody else that has `part` in its text; as `wait_for`."""

        def wanted(seen: Seen) -> bool:
            return (
                seen.type == "m.room.message"
                and seen.sender != self.user_id
                and room in (None, seen.room)
                and part in seen.body
            )

        return await self.wait_for(wanted, timeout, after=after)

    async def membership(
        self, room: str, user: RawUser | str, wanted: str, timeout: float = 10.0, *, after: int = 0
    ) -> Seen:
        """The first event by which a user has the membership `wanted` in the room; as `wait_for`."""

        def is_it(seen: Seen) -> bool:
            return (
                seen.room == room
                and seen.type == "m.room.member"
                and seen.state_key == _id(user)
                and seen.content.get("membership") == wanted
            )

        return await self.wait_for(is_it, timeout, after=after)

    async def invited(
        self, wanted: str | Callable[[Invite], bool] = "", timeout: float = 10.0, *, after: int = 0
    ) -> Invite:
        """The first invite to a room with `wanted` in its name, or that `wanted` accepts; as `wait_for`.

        `after` counts invites: an earlier `len(invites)`.
        """
        is_it = wanted if callable(wanted) else lambda invite: wanted in invite.name
        return await self._first(self.invites, is_it, timeout, after)

    def unreadable(self, room: str | None = None) -> list[Seen]:
        """What came encrypted and was never decrypted."""
        read = {seen.event_id for seen in self.transcript if seen.type != "m.room.encrypted"}
        locked = [seen for seen in self.transcript if seen.type == "m.room.encrypted" and seen.event_id not in read]
        return [seen for seen in locked if room in (None, seen.room)]

    def told(self, last: int | None = None) -> str:
        """The transcript as lines, or its last ones."""
        lines = self.transcript if last is None else self.transcript[-last:]
        return "\n".join(map(str, lines))

    async def _first(self, heard: list[_T], wanted: Callable[[_T], bool], timeout: float, position: int) -> _T:
        self.listen()
        try:
            async with asyncio.timeout(timeout), self._news:
                while True:
                    while position < len(heard):
                        position += 1
                        if wanted(heard[position - 1]):
                            return heard[position - 1]
                    self._raise_if_deaf()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.user_id} waited {timeout:g} s in vain. Heard last:\n{self.told(12)}") from None

    def _raise_if_deaf(self) -> None:
        task = self._listening
        if task is not None and task.done() and not task.cancelled() and (fault := task.exception()):
            raise fault

    async def _sync(self, pause: float) -> None:
        since: dict[str, str] = {}
        query = {"filter": json.dumps(SYNC_FILTER)}
        try:
            while True:
                held = str(round(LONG_POLL * 1000)) if since else "0"
                try:
                    answer = await self.call("GET", path("sync"), query={**query, **since, "timeout": held})
                    if since:
                        await self._fill_gaps(answer.get("rooms", {}).get("join", {}), since["since"])
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.1)  # the server restarts; nothing tells when it is back
                    continue
                except MatrixError as fault:
                    if fault.status < 500 and fault.status != 429:
                        raise
                    await asyncio.sleep((fault.retry_after_ms or 100) / 1000)
                    continue
                since = {"since": answer["next_batch"]}
                self._take((await self._opened(answer)).get("rooms", {}))
                async with self._news:
                    self._news.notify_all()
                await asyncio.sleep(pause)
        finally:
            # Whoever waits must learn that nothing more will come.
            async with self._news:
                self._news.notify_all()

    async def _opened(self, answer: Json) -> Json:
        """The answer of a sync as this person's client can read it."""
        return answer

    async def _fill_gaps(self, joined: Json, since: str) -> None:
        """Put into each timeline what the server left out of it, so that nothing goes unheard."""
        for room, part in joined.items():
            timeline = part.get("timeline", {})
            if not timeline.get("limited"):
                continue
            missed: list[Json] = []
            start = timeline["prev_batch"]
            while start:
                query = {"dir": "b", "from": start, "to": since, "limit": "100"}
                page = await self.call("GET", path("rooms", room, "messages"), query=query)
                missed.extend(page["chunk"])
                start = page.get("end") if page["chunk"] else None
            timeline["events"] = [*reversed(missed), *timeline["events"]]
            again = {event["event_id"] for event in missed}
            state = part.get("state", {})
            state["events"] = [event for event in state.get("events", []) if event["event_id"] not in again]

    def _take(self, rooms: Json) -> None:
        for room, part in rooms.get("invite", {}).items():
            events = part.get("invite_state", {}).get("events", [])
            self.transcript.extend(Seen(room, "invite", event) for event in events)
            self._take_invite(room, events)
        for section in ("join", "leave"):
            for room, part in rooms.get(section, {}).items():
                for kind in ("state", "timeline"):
                    where = kind if section == "join" else section
                    events = part.get(kind, {}).get("events", [])
                    self.transcript.extend(Seen(room, where, event) for event in events)

    def _take_invite(self, room: str, events: list[Json]) -> None:
        name = ""
        mine: Json = {}
        for event in events:
            if event.get("type") == "m.room.name":
                name = str(event["content"].get("name", ""))
            elif event.get("type") == "m.room.member" and event.get("state_key") == self.user_id:
                mine = event
        if mine.get("content", {}).get("membership") == "invite":
            reason = str(mine["content"].get("reason", ""))
            self.invites.append(Invite(room, str(mine["sender"]), reason, name, tuple(events)))


def _id(user: RawUser | str) -> str:
    return user if isinstance(user, str) else user.user_id


def _reasoned(body: Json, reason: str | None) -> Json:
    return body if reason is None else {**body, "reason": reason}


def _message(text: str, html: str | None, msgtype: str) -> Json:
    content: Json = {"msgtype": msgtype, "body": text}
    if html is not None:
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content
