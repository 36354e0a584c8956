"""Names and tags, weights, the frozen encoder, its device and precision."""
