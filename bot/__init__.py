"""A small, complete plugin host for Matrix."""
