"""The forms that the host's tables have had, one numbered step a change."""
