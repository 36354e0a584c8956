"""One cache on disk: layout, manifest, plan, writing, reading, text sets; and the catalogue of caches."""
