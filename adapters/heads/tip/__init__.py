"""Tip-Adapter and its kin: the key-value cache, what votes in it, predictions proven without all keys."""
