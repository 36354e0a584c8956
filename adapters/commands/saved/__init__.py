"""Commands that take a saved run."""
