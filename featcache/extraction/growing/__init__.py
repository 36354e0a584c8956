"""Data sets that grow: the cache that a changed one goes to, splits that stay, rows taken from other caches."""
