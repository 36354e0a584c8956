"""Meta-Adapter: the head, its attention, learning it."""
