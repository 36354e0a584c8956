"""Saved runs: folder, report, card, catalogue, evaluating and predicting with them."""
