"""What every test shares: how Hypothesis looks for examples, and where files are kept that nobody needs."""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

# Each commit of a store waits for the disk, which a machine that runs tests beside other work has none of to spare.
if os.access(memory := Path("/dev/shm"), os.W_OK):  # noqa: S108 - where Linux keeps files in memory
    tempfile.tempdir = str(memory)

# No deadline per example: machines that run tests are busy, and pytest-timeout watches over the whole.
settings.register_profile("bot", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bot")

pytest_plugins = ["bot.testing.pytest_plugin"]
