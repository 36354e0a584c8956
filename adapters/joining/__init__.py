"""Several caches of the same images as one: rows by id, weights, texts, and the place that names them all."""
