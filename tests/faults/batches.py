"""Changes the batches of a sync as bad luck does: gaps, rooms that come late, batches that come again, old state."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

_GAP = "gap-"
"""Tokens of gaps that we made begin so."""


class Batches:
    """What one account's sync owes: gaps to be filled, rooms held back, the batch before."""

    def __init__(self) -> None:
        self._cut: dict[str, Json] = {}
        self._held: Json = {}
        self._last: Json | None = None
        self._told: dict[str, dict[tuple[str, str], list[Json]]] = {}
        """The state events of each room so far, by type and state key, in the order in which they were told."""

    @property
    def owes(self) -> bool:
        """Whether something was held back, so that the next answer must not wait for news."""
        return bool(self._held)

    def cut(self, batch: Json) -> Json:
        """The batch with all but the last event left out of each timeline; `filling` has them."""
        batch = deepcopy(batch)
        for delta in _joined(batch).values():
            timeline = delta.get("timeline", {})
            events = timeline.get("events", [])
            if len(events) > 1:
                left_out, timeline["events"] = events[:-1], events[-1:]
                token = f"{_GAP}{len(self._cut)}"
                further = timeline.get("prev_batch") if timeline.get("limited") else None
                self._cut[token] = {
                    "chunk": left_out[::-1],
                    "start": token,
                    **({"end": further} if further else {}),
                }
                timeline["limited"], timeline["prev_batch"] = True, token
                delta.setdefault("state", {})["events"] = _state(delta, left_out)
        return batch

    def filling(self, query: Mapping[str, str]) -> Json | None:
        """The answer to a request for the messages in a gap of ours; None for any other."""
        return self._cut.get(query.get("from", ""))

    def hold(self, batch: Json) -> Json:
        """The batch without the first of its rooms, which comes with the next one: rooms overtake one another."""
        batch = deepcopy(batch)
        joined = _joined(batch)
        if joined:
            room = next(iter(joined))
            self._held[room] = joined.pop(room)
        return batch

    def repeated(self, batch: Json) -> Json:
        """The batch before this one once more, which then is followed by this one: `since` is the same again."""
        last = self._last
        return batch if last is None else {**deepcopy(last), "next_batch": last["next_batch"]}

    def with_old_state(self, batch: Json) -> Json:
        """The batch with state that has been replaced told once more, as Synapse does where a room has branched."""
        batch = deepcopy(batch)
        for room, delta in _joined(batch).items():
            if any(event["type"] == "m.room.create" for event in _events(delta)):
                continue  # of a room that is new to the account all state is told, and all of it holds
            told = self._told.get(room, {}).values()
            old = [event for events in told if (event := _replaced(events)) is not None]
            section = delta.setdefault("state", {})
            section["events"] = [*section.get("events", []), *old]
        return batch

    def note(self, batch: Json) -> None:
        """Remember the state that is told."""
        for room, delta in _joined(batch).items():
            told = self._told.setdefault(room, {})
            for event in _events(delta):
                if "state_key" in event:
                    told.setdefault((event["type"], event["state_key"]), []).append(event)

    def whole(self, batch: Json) -> Json:
        """The batch with what was held back, put in front of what its rooms have."""
        self._last = batch
        held, self._held = self._held, {}
        if not held:
            return batch
        batch = deepcopy(batch)
        joined = batch.setdefault("rooms", {}).setdefault("join", {})
        for room, former in held.items():
            joined[room] = _one_after_the_other(former, joined[room]) if room in joined else former
        return batch


def _joined(batch: Json) -> dict[str, Json]:
    joined: dict[str, Json] = batch.get("rooms", {}).get("join", {})
    return joined


def _events(delta: Json) -> list[Json]:
    """What is told of a room, in order."""
    return [event for section in ("state", "timeline") for event in delta.get(section, {}).get("events", [])]


def _replaced(events: list[Json]) -> Json | None:
    """What stood before the last of these; what was told twice is as new as ever, a room's creation above all."""
    return next((event for event in reversed(events) if event["event_id"] != events[-1]["event_id"]), None)


def _state(delta: Json, left_out: list[Json]) -> list[Json]:
    """The state at the beginning of what is left of a timeline, where it changed."""
    events = [*delta.get("state", {}).get("events", []), *(event for event in left_out if "state_key" in event)]
    return list({(event["type"], event["state_key"]): event for event in events}.values())


def _one_after_the_other(former: Json, latter: Json) -> Json:
    """Both deltas of a room as one; where the latter leaves a gap, the former lies in it."""
    timeline = latter.get("timeline", {})
    if timeline.get("limited"):
        return latter
    events = [*former.get("timeline", {}).get("events", []), *timeline.get("events", [])]
    once = {event["event_id"]: event for event in events}
    return {
        **former,
        **latter,
        "state": {"events": [*former.get("state", {}).get("events", []), *latter.get("state", {}).get("events", [])]},
        "timeline": {**former.get("timeline", {}), "events": list(once.values())},
    }
