"""What a message reads since its last edit: only its sender's edits count, and an edit that cannot be read hides it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.matrix.edits import bundled, can_be_edited, edited

ANN, EVE = "@ann:here", "@eve:here"
RELATION = {"rel_type": "m.replace", "event_id": "$1"}
OLD, NEW = {"msgtype": "m.text", "body": "old"}, {"msgtype": "m.text", "body": "new"}
SAID = {"type": "m.room.message", "event_id": "$1", "sender": ANN, "content": OLD}


def edit(**other: Any) -> dict[str, Any]:
    content = {**NEW, "m.new_content": NEW, "m.relates_to": RELATION}
    return {"type": "m.room.message", "event_id": "$2", "sender": ANN, "content": content} | other


def test_the_newest_edit_counts() -> None:
    older = edit(content={**OLD, "m.new_content": {**NEW, "body": "older"}, "m.relates_to": RELATION})
    assert edited(SAID, [edit(), older]) == {**SAID, "content": NEW}
    assert edited(SAID, []) == SAID


@pytest.mark.parametrize(
    "other",
    [
        {"sender": EVE},
        {"sender": EVE, "type": "m.room.encrypted"},
        {"type": "m.sticker"},
        {"state_key": ""},
        {"content": {}},
        {"content": {"m.new_content": NEW}},
        {"content": {"m.new_content": "x", "m.relates_to": RELATION}},
        {"content": {"m.new_content": NEW, "m.relates_to": {**RELATION, "event_id": "$other"}}},
        {"content": {"m.new_content": NEW, "m.relates_to": {**RELATION, "rel_type": "m.thread"}}},
    ],
)
def test_what_is_no_edit_of_it_by_its_sender_changes_nothing(other: dict[str, Any]) -> None:
    assert edited(SAID, [edit(**other)]) == SAID
    assert edited(SAID, [edit(**other), edit()]) == {**SAID, "content": NEW}


def test_where_the_edit_cannot_be_decrypted_nothing_can_be_read() -> None:
    locked = {"ciphertext": "x", "m.relates_to": RELATION}
    found = edited(SAID, [edit(type="m.room.encrypted", content=locked), edit()])
    assert found == {**SAID, "type": "m.room.encrypted", "content": locked}


def test_what_is_redacted_and_state_and_edits_have_none() -> None:
    assert can_be_edited(SAID)
    assert not can_be_edited({**SAID, "content": {}})
    assert not can_be_edited({**SAID, "state_key": ""})
    assert not can_be_edited(edit())


@pytest.mark.parametrize(
    "unsigned", [None, [], {"m.relations": []}, {"m.relations": {"m.replace": {"event_id": "$2", "sender": ANN}}}]
)
def test_an_edit_that_is_not_told_whole_is_to_be_asked_for(unsigned: Any) -> None:
    assert bundled({**SAID, "unsigned": unsigned}) is None
    assert bundled({**SAID, "unsigned": {"m.relations": {"m.replace": edit()}}}) == edit()
