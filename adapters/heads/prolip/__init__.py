"""ProLIP: the last projection of the image tower, trained; and its baseline, a matrix on the embedding."""
