"""Tip-Adapter and its kin: the key-value cache, what votes in it, proofs without all of it."""
