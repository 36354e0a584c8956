"""A mixture of heads that needs no choice."""
