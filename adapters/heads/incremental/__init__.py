"""Heads that learn classes task after task."""
