"""Saved runs: folder, report, card, catalogue, and evaluating them."""
