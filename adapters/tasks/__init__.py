"""Few-shot tasks: which rows of a cache are shots, and whose features they are."""
