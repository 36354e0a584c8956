"""Meta-Adapter: the head, its attention, how it is learnt, and many as one program."""
