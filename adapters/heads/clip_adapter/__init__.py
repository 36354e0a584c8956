"""CLIP-Adapter: the head, its bottleneck, and many of them as one program."""
