"""What every test shares: how Hypothesis looks for examples."""

from hypothesis import HealthCheck, settings

# No deadline per example: machines that run tests are busy, and pytest-timeout watches over the whole.
settings.register_profile("bot", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bot")

pytest_plugins = ["bot.testing.pytest_plugin"]
