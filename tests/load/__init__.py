"""Many sessions at once, people and moderators in disorder, requests that fail: what must hold holds throughout."""
