"""A short session with a real Synapse behind the proxy, killed and hurt at a handful of points; the matrix has all."""

from __future__ import annotations

import pytest

from bot.testing.synapse import SynapseMissing, synapse_version
from tests.faults.proxy import How
from tests.kill_matrix.points import Hurt, Kill
from tests.kill_matrix.session import session
from tests.kill_matrix.story import SHORT

POINTS = (
    Kill("start", "request", "create_room", "after"),
    Kill("talk", "commit", "breakout_sessions+inbox+last_spoke+outbox+sync_position", "after"),
    Kill("kick", "request", "kick", "before"),
    Hurt("send_message", How.DROP_AFTER, 4),
    Hurt("invite", How.PAGE_502),
    Hurt("sync", How.GAP, 9),
    Hurt("sync", How.REPEAT, 20),
    Hurt("sync", How.LATE, 30),
    Hurt("sync", How.OLD_STATE, 40),
    Hurt("create_room", How.TRUNCATED, 1),
)


@pytest.mark.synapse
@pytest.mark.slow
async def test_a_session_comes_out_right_though_it_is_killed_and_hurt() -> None:
    try:
        synapse_version()
    except SynapseMissing as reason:
        pytest.skip(str(reason))
    result = await session(POINTS, acts=SHORT)
    assert not result.wrong, "\n".join((*result.wrong, result.log))
    assert [outcome.point for outcome in result.outcomes if not outcome.reached] == []
