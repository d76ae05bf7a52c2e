"""The tests, by level; CONTRIBUTING.md says which is for what."""
