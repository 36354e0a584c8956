"""CLIP-Adapter: the head, its bottleneck, many of them in training."""
