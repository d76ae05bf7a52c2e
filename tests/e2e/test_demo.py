"""The demo as a newcomer starts it: one command, and an exit code that says whether all was well."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bot.testing.synapse import SynapseMissing, synapse_version

DEMO = (sys.executable, "-m", "bot", "demo", "--plain")
MOST_SECONDS = 90
"""What the demo promises."""


@pytest.fixture(autouse=True)
def _synapse_is_installed() -> None:
    try:
        synapse_version()
    except SynapseMissing as reason:
        pytest.skip(str(reason))


def played(*options: str, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *options], capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.synapse
@pytest.mark.slow
@pytest.mark.timeout(MOST_SECONDS + 10)
def test_the_demo_ends_verified_in_ninety_seconds() -> None:
    demo = played(seconds=MOST_SECONDS)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "✗" not in demo.stdout
    assert demo.stdout.count("✓") >= 18


@pytest.mark.synapse
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_demo_ends_verified_though_the_bot_is_killed_in_it() -> None:
    demo = played("--kills", "3", "--seed", "3", seconds=190)
    assert demo.returncode == 0, demo.stdout + demo.stderr


@pytest.mark.synapse
def test_an_unknown_option_is_refused() -> None:
    demo = played("--fast", seconds=30)
    assert demo.returncode == 2
    assert "--fast" in demo.stderr
