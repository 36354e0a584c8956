"""Multi-Modal Adapter: the head and its attention."""
