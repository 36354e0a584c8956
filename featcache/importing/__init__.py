"""Embeddings made elsewhere: which array is what, what is wrong with them, and a cache of them."""
