"""The forms that the plugin's tables have had, one numbered step a change."""
